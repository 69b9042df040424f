"""Whatever stands in the files, checking them ends with findings."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shops import HERE, Shop

from esb.config import format_findings, to_json

FILES = sorted(p.relative_to(HERE / "shop").as_posix() for p in (HERE / "shop").rglob("*") if p.is_file())
SCRAPS = st.sampled_from(
    ["\t", ": ", "- ", '"', "'", "{", "}", "[", "]", "`", " #", "?", "!x ", "&a ", "*a", "null", "1e999", "\n", "<<: "]
) | st.sampled_from(["${X}", "secret:", "$", "|\n", "---\n", "true", "0x1", "é", "\0", "...", "x" * 200])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    file=st.sampled_from(FILES),
    at=st.floats(0, 1),
    cut=st.integers(0, 30),
    scrap=SCRAPS,
    env=st.sampled_from([None, "prod"]),
)
def test_damaged_file(file: str, at: float, cut: int, scrap: str, env: str | None) -> None:
    """A scrap is put somewhere, some characters are cut out: findings or none, and all can be shown."""
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(shutil.copytree(HERE / "shop", Path(folder, "shop"))))
        text = shop.read(file)
        place = int(at * len(text))
        shop.write(file, text[:place] + scrap + text[place + cut :])
        checked = shop.inspect(env)
        assert format_findings(checked.findings, checked.sources) or not checked.findings
        assert to_json(checked.findings)
        assert all(finding.line > 0 and finding.column > 0 for finding in checked.findings)
