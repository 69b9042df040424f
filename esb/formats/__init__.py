"""Formats: bytes to documents and back, by the word used in ``format:``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from esb.formats.csv import CsvFormat
from esb.formats.fixed import FixedWidthFormat
from esb.formats.json import JsonFormat
from esb.formats.xml import XmlFormat
from esb.ports import Format

FORMATS: Mapping[str, type[Format]] = MappingProxyType(
    {kind.kind: kind for kind in (CsvFormat, FixedWidthFormat, JsonFormat, XmlFormat)}
)
