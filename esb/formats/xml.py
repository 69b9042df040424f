"""XML 1.0: a document as a whole, or the elements at a path as a stream of records."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise, takewhile
from typing import Any, BinaryIO, ClassVar

from pydantic import Field, field_validator, model_validator

from esb.errors import DecodeError
from esb.formats.elements import WELL_KNOWN, Names, Reader, Shape, Writer
from esb.formats.encodings import known
from esb.formats.limits import AROUND
from esb.formats.xml_parser import MISSING, Element, Torn, elements, library, whole
from esb.ports import Format, Record, Settings

_NAME = re.compile(r"[^\W\d][\w.-]*(?::[^\W\d][\w.-]*)?")


class XmlSettings(Settings):
    """How XML comes and goes."""

    record: str | None = Field(
        None,
        description="Path of the elements that are records (orders/order), read as a stream. Default: one document.",
    )
    root: str | None = Field(
        None, description="Name of the root element, which is left out of the document. Default: it is its only key."
    )
    namespaces: dict[str, str] = Field(
        default_factory=dict,
        description='Prefixes that names have in documents, with their URIs; "": names of it have none.',
    )
    attributes: str = Field("@", min_length=1, description="In front of the names of attributes.")
    text: str = Field("#text", min_length=1, description="Key of text that stands beside attributes or elements.")
    lists: tuple[str, ...] = Field(
        (), description="Names of elements, or paths of keys (lines/line), that are lists even when they occur once."
    )
    strip: bool = Field(True, description="White space around text is removed.")
    encoding: str | None = Field(
        None, description="Character set. Default: what a document declares when reading, UTF-8 when writing."
    )
    declaration: bool = Field(True, description="When writing, begin with <?xml version … encoding …?>.")

    @field_validator("record")
    @classmethod
    def _path(cls, value: str | None) -> str | None:
        if value is not None and (value.count("/") == 0 or not all(map(_NAME.fullmatch, value.split("/")))):
            raise ValueError("names from the root element to the record are needed, such as orders/order")
        return value

    @field_validator("root")
    @classmethod
    def _name(cls, value: str | None) -> str | None:
        if value is not None and not _NAME.fullmatch(value):
            raise ValueError("the name of an element is needed")
        return value

    @field_validator("namespaces")
    @classmethod
    def _uris(cls, value: dict[str, str]) -> dict[str, str]:
        for prefix, uri in value.items():
            if prefix in (*WELL_KNOWN, "xmlns") or (prefix and (":" in prefix or not _NAME.fullmatch(prefix))):
                raise ValueError(f"{prefix} cannot be a prefix of your own")
            if not uri or uri in WELL_KNOWN.values() or any(mark in uri for mark in "{} "):
                raise ValueError(f"{prefix}: a URI of your own is needed")
        if len(set(value.values())) < len(value):
            raise ValueError("two prefixes have the same URI")
        return value

    @field_validator("encoding")
    @classmethod
    def _encoding(cls, value: str | None) -> str | None:
        if value is not None and find_spec("lxml"):
            try:
                library().XMLParser(encoding=known(value))
            except LookupError as error:
                raise ValueError(f"{value} is not a character set of XML; UTF-8 and iso-8859-1 are usual") from error
        return value

    @model_validator(mode="after")
    def _together(self) -> XmlSettings:
        if not find_spec("lxml"):
            raise ValueError(MISSING)
        if self.record and self.root:
            raise ValueError("record begins with the root element, so root is not needed beside it")
        if _NAME.match(self.attributes) or _NAME.match(self.text) or self.text.startswith(self.attributes):
            raise ValueError(
                "attributes and text must begin with different marks that no name begins with: @ and #text"
            )
        if not self.declaration and (self.encoding or "utf-8").lower() not in ("utf-8", "utf8", "ascii", "us-ascii"):
            raise ValueError("without a declaration only UTF-8 can be understood")
        names = Names(self.namespaces)
        for name in (*(self.record or self.root or "").split("/"),):
            if name:
                names.clark(name)
        return self


class XmlFormat(Format):
    """Elements as keys, attributes as ``@name``, repeated elements as lists. Values are text."""

    kind: ClassVar[str] = "xml"
    summary: ClassVar[str] = "XML: one document, or a stream of record elements"
    content_type: ClassVar[str] = "application/xml"
    Settings: ClassVar[type[Settings]] = XmlSettings

    def __init__(self, settings: Any = None) -> None:
        settings = settings or XmlSettings.model_validate({})
        super().__init__(settings)
        self._path = settings.record.split("/") if settings.record else []
        self._encoding = settings.encoding or "utf-8"
        shape = Shape(
            Names(settings.namespaces), settings.attributes, settings.text, frozenset(settings.lists),
            settings.strip, self._encoding,
        )  # fmt: skip
        self._names = shape.names
        self._reader, self._writer = Reader(shape), Writer(shape)

    def read(self, stream: BinaryIO) -> Iterator[Record]:
        """Record elements are streamed; a single document is read as a whole, up to 64 MB.

        Where the stream stops being XML nothing behind can be told apart: the rest is one record with its error.
        ``DecodeError``, also in the middle, when the tags around a record are too long to go with each.
        """
        if self._path:
            path = [self._names.clark(name) for name in self._path]
            return self._records(elements(stream, path, self.settings.encoding))
        body = stream.read()
        try:
            return iter([Record(1, self._document(body), body)])
        except DecodeError as error:
            return iter([Record(1, raw=body, error=str(error))])

    def decode(self, body: bytes) -> Any:
        """The document; with ``record`` the list of records, or the one when there is one."""
        if not self._path:
            return self._document(body)
        documents = []
        for record in self.read(io.BytesIO(body)):
            if record.error:
                raise DecodeError(f"record {record.number}: {record.error}")
            documents.append(record.document)
        return documents[0] if len(documents) == 1 else documents

    def encode(self, document: Any) -> bytes:
        """Keys become elements in their order, lists repeat, null is left out. With ``record``, one or a list."""
        if self._path:
            documents = document if isinstance(document, list) else [document]
            return self._written(self._writer.root(self._path, documents))
        name, content = (self.settings.root, document) if self.settings.root else _only(document)
        if isinstance(content, list):
            raise DecodeError(f"a list cannot be the root element {name}; with record, a list becomes records")
        return self._written(self._writer.root([name], [content]))

    def join(self, raws: Sequence[bytes]) -> bytes:
        """The records in one document again, below parents with the attributes that they had."""
        if not self._path or len(raws) == 1:
            return b"".join(raws)
        outside = len(self._path) - 1
        split = [raw.decode(self._encoding).split("\n") for raw in raws]
        if any(lines[0] != split[0][0] for lines in split):
            return b"".join(raws)  # the bytes behind a fault are not in this form
        parts = [*split[0][:-outside]]
        for before, lines in pairwise(split):
            same = _alike(before[:outside], lines[:outside])
            parts += [*before[-outside : len(before) - same], *lines[same:-outside]]
        return "\n".join([*parts, *split[-1][-outside:]]).encode(self._encoding)

    def _document(self, body: bytes) -> Any:
        root = whole(body, self.settings.encoding)
        try:
            name = self._names.key(root.tag)
        except ValueError as error:
            raise DecodeError(f"line {root.sourceline}: {error}") from error
        if self.settings.root is None:
            return {name: self._reader.document(root, name)}
        if name != self.settings.root:
            raise DecodeError(f"the root element is {name}, where {self.settings.root} is expected")
        return self._reader.document(root)

    def _records(self, found: Iterator[Element | Torn]) -> Iterator[Record]:
        parent, outside = None, ("", "")
        for number, one in enumerate(found, 1):
            if isinstance(one, Torn):
                yield Record(number, raw=one.raw, error=one.reason)
                continue
            if one.getparent() is not parent:
                parent = one.getparent()
                outside = _bounded(_outside(one), number)
            raw = f"{outside[0]}{_text(one)}{outside[1]}".encode(self._encoding, "xmlcharrefreplace")
            yield self._record(number, one, raw)

    def _record(self, number: int, element: Element, raw: bytes) -> Record:
        try:
            return Record(number, self._reader.document(element), raw)
        except DecodeError as error:
            return Record(number, raw=raw, error=str(error))

    def _written(self, root: Element) -> bytes:
        declaration = self.settings.declaration
        written: bytes = library().tostring(root, encoding=self._encoding, xml_declaration=declaration)
        return written


def _only(document: Any) -> tuple[str, Any]:
    if not isinstance(document, dict) or len(document) != 1:
        raise DecodeError("the document needs one key, the root element; or name it in the settings as root")
    ((name, content),) = document.items()
    return name, content


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many lines are the same from the first on."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=True)))


def _text(element: Element) -> str:
    text: str = library().tostring(element, encoding="unicode", with_tail=False)
    return text


def _bounded(outside: tuple[str, str], number: int) -> tuple[str, str]:
    size = len(outside[0]) + len(outside[1])
    if size > AROUND:
        raise DecodeError(
            f"the tags around record {number} have {size} characters, and at most {AROUND} are taken, as each record "
            "carries them; shorten the attributes and namespaces of the elements that it lies in"
        )
    return outside


def _outside(element: Element) -> tuple[str, str]:
    """What stands around a record: the tags of its ancestors, each on a line of its own (as ``join`` needs it)."""
    opening, closing = "", ""
    for one in element.iterancestors():
        empty = _text(library().Element(one.tag, dict(one.attrib), nsmap=one.nsmap))
        opening = f"{empty.removesuffix('/>')}>\n{opening}"
        closing += f"\n</{re.split('[ />]', empty[1:])[0]}>"
    return opening, closing
