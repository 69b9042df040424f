"""What is particular to files: when they are complete, odd names, links, permissions, and names made from messages."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from esb.adapters.file import FileAdapter, FileOperation, FileSettings, writer
from esb.adapters.file.paths import file_name_part
from esb.errors import EndpointError, EsbError, Refused, Unreachable
from esb.ports import Request


def opened(
    directory: Path, operation: dict[str, Any] | None = None, endpoint: str = "till", **settings: Any
) -> FileAdapter:
    """An adapter on a directory; files are complete when they appear, unless said otherwise."""
    settings = {"directory": str(directory), "ready": "rename"} | settings
    operations = {"write": FileOperation(**operation)} if operation else {}
    adapter = FileAdapter(endpoint, FileSettings(**settings), operations)
    adapter.open()
    return adapter


def names(adapter: FileAdapter, limit: int = 100) -> list[str]:
    """Take everything and finish it; the names in order."""
    claims = adapter.claim("me", limit)
    for claim in claims:
        adapter.done(claim)
    return [claim.name for claim in claims]


def message(document: Any = None, body: bytes = b"{}", **attributes: Any) -> Request:
    """A request to write."""
    given = {"message_id": "m-1", "key": "m-1/write", "content_type": "application/json", "headers": {}} | attributes
    return Request(operation="write", body=body, document=document or {}, **given)


# --- complete? ----------------------------------------------------------------------------------------------------


def test_a_growing_file_is_left_alone_until_it_rests(tmp_path):
    """Stable means: seen twice, that long apart, with nothing changed between."""
    adapter = opened(tmp_path, ready="stable 50ms")
    file = tmp_path / "a.csv"
    file.write_bytes(b"1")
    assert names(adapter) == []
    file.write_bytes(b"12")
    time.sleep(0.06)
    assert names(adapter) == []
    time.sleep(0.06)
    assert names(adapter) == ["a.csv"]


def test_old_time_stamps_do_not_make_a_file_stable(tmp_path):
    """A copy that keeps times, or a server whose clock is behind, looks old while it is being written."""
    adapter = opened(tmp_path, ready="stable 1h")
    (tmp_path / "a.csv").write_bytes(b"half")
    os.utime(tmp_path / "a.csv", (1, 1))
    assert names(adapter) == names(adapter) == []


def test_a_marker_vouches_for_one_file_once(tmp_path):
    """Without its marker a file waits; the marker goes with it, so that it does not vouch for the next one."""
    adapter = opened(tmp_path, ready="marker .ok")
    (tmp_path / "a.csv").write_bytes(b"1")
    assert names(adapter) == []
    (tmp_path / "a.csv.ok").touch()
    assert names(adapter) == ["a.csv"]
    (tmp_path / "a.csv").write_bytes(b"half of the next")
    assert names(adapter) == []


def test_a_released_file_has_its_marker_again(tmp_path):
    """Or it would lie there for ever."""
    adapter = opened(tmp_path, ready="marker .ok")
    (tmp_path / "a.csv").write_bytes(b"1")
    (tmp_path / "a.csv.ok").touch()
    adapter.release(adapter.claim("me", 1)[0])
    assert names(adapter) == ["a.csv"]


@pytest.mark.parametrize("word", ["soon", "stable x", "marker", "marker ../x", "marker ok", 5])
def test_a_wrong_ready_is_a_finding(word):
    """It says what could stand there."""
    with pytest.raises(ValidationError, match=r"stable 2s|a duration such as"):
        FileSettings(directory="x", ready=word)


# --- what is taken ------------------------------------------------------------------------------------------------


def test_oldest_first_then_by_name(tmp_path):
    """The order in which the till wrote them."""
    for name, age in (("b.csv", 100), ("a.csv", 100), ("c.csv", 200)):
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert names(opened(tmp_path)) == ["c.csv", "a.csv", "b.csv"]


def test_links_directories_and_dot_files_are_never_taken(tmp_path):
    """A link in the inbox could make the bus read, and publish, any file of the machine."""
    inbox = tmp_path / "in"
    inbox.mkdir()
    (tmp_path / "secret.csv").write_bytes(b"secret")
    (inbox / "link.csv").symlink_to(tmp_path / "secret.csv")
    (inbox / "directory.csv").mkdir()
    (inbox / ".hidden.csv").write_bytes(b"x")
    os.mkfifo(inbox / "pipe.csv")
    (inbox / "plain.csv").write_bytes(b"x")
    assert names(opened(inbox)) == ["plain.csv"]


def test_a_link_put_in_place_of_a_claimed_file_is_not_followed(tmp_path):
    """Swapped after the claim, before the reading."""
    adapter = opened(tmp_path)
    (tmp_path / "a.csv").write_bytes(b"x")
    (claim,) = adapter.claim("me", 1)
    claim.path.unlink()
    claim.path.symlink_to("/etc/passwd")
    with pytest.raises(EndpointError):
        claim.open()


def test_a_name_that_is_not_utf8_is_taken_and_shown(tmp_path):
    """Old systems write names in their own encoding; the shown name fits into every log and table."""
    adapter = opened(tmp_path)
    raw = os.fsencode(tmp_path) + b"/Stra\xdfe.csv"
    with open(raw, "wb") as file:
        file.write(b"x")
    assert names(adapter) == ["Stra\\xdfe.csv"]
    assert any(name == b"Stra\xdfe.csv" for _, _, files in os.walk(os.fsencode(tmp_path)) for name in files)


def test_subdirectories_only_when_asked_and_files_go_back_there(tmp_path):
    """Recursive, and a release puts a file where it lay."""
    (tmp_path / "north").mkdir()
    (tmp_path / "north" / "a.csv").write_bytes(b"x")
    assert names(opened(tmp_path)) == []
    adapter = opened(tmp_path, recursive=True)
    adapter.release(adapter.claim("me", 1)[0])
    assert (tmp_path / "north" / "a.csv").exists()
    assert names(adapter) == ["a.csv"]
    assert names(adapter) == []


def test_thousands_of_files_are_taken_in_parts(tmp_path):
    """A limit is kept, and nothing is left or taken twice."""
    for number in range(1000):
        (tmp_path / f"{number:04}.csv").touch()
    adapter = opened(tmp_path, done="delete")
    taken = [name for _ in range(5) for name in names(adapter, 250)]
    assert len(taken) == len(set(taken)) == 1000
    assert os.listdir(tmp_path / ".claimed" / "till") == []


def test_an_unreadable_file_is_named_once_and_blocks_nobody(public_directory):
    """The first look says which file; from then on the others pass."""
    for name in ("bad.csv", "good.csv"):
        (public_directory / name).write_bytes(b"x")
    (public_directory / "bad.csv").chmod(0)
    adapter = opened(public_directory)
    with as_nobody():
        with pytest.raises(EndpointError, match=r"bad\.csv"):
            adapter.claim("me", 10)
        assert names(adapter) == ["good.csv"]
        assert names(adapter) == []


def test_a_directory_that_is_not_there(tmp_path):
    """Made with its parents, unless the endpoint says that somebody else does."""
    assert opened(tmp_path / "a" / "b").check()
    with pytest.raises(Unreachable, match="cannot read the directory"):
        opened(tmp_path / "c", create=False)


def test_endpoints_that_share_a_directory_take_their_own_files_only(tmp_path):
    """One takes *.csv, the other *.xml; what the first has claimed and not finished is none of the second's."""
    (tmp_path / "a.csv").write_bytes(b"1")
    (tmp_path / "b.xml").write_bytes(b"2")
    first, second = opened(tmp_path, pattern="*.csv"), opened(tmp_path, endpoint="invoices", pattern="*.xml")
    (claim,) = first.claim("me", 5)
    assert [claim.name for claim in second.claim("me", 5)] == ["b.xml"]
    assert [one.id for one in first.claim("me", 5)] == [claim.id]


# --- put away -----------------------------------------------------------------------------------------------------


def test_finished_files_of_one_name_are_all_kept(tmp_path):
    """The till reuses names; the archive replaces nothing, and the ending stays."""
    adapter = opened(tmp_path)
    for content in (b"1", b"2", b"3"):
        (tmp_path / "day.csv").write_bytes(content)
        assert names(adapter) == ["day.csv"]
    kept = list((tmp_path / ".done").glob("*/*.csv"))
    assert sorted(path.read_bytes() for path in kept) == [b"1", b"2", b"3"]


def test_a_release_replaces_nothing(tmp_path):
    """Another file of that name came meanwhile: both are there, and both are taken."""
    adapter = opened(tmp_path, pattern="*.csv")
    (tmp_path / "a.csv").write_bytes(b"old")
    (claim,) = adapter.claim("me", 1)
    (tmp_path / "a.csv").write_bytes(b"new")
    adapter.release(claim)
    assert sorted(claim.open().read() for claim in adapter.claim("me", 5)) == [b"new", b"old"]


def test_the_longest_name_goes_all_the_way(tmp_path):
    """255 bytes are allowed; suffixes of ours must not break that."""
    adapter, name = opened(tmp_path), "x" * 251 + ".csv"
    for _ in range(2):
        (tmp_path / name).write_bytes(b"x")
        assert names(adapter) == [name]
    (tmp_path / name).write_bytes(b"x")
    adapter.reject(adapter.claim("me", 1)[0], "bad")
    assert len(os.listdir(tmp_path / ".rejected")) == 2


def test_a_crash_between_any_two_steps_leaves_a_claim_that_resumes(tmp_path):
    """An empty claim (before the rename) is swept up, one without a readable position starts anew."""
    claimed = tmp_path / ".claimed" / "till"
    (claimed / "1" / "empty").mkdir(parents=True)
    (claimed / "2").mkdir()
    (claimed / "2" / "a.csv").write_bytes(b"x")
    (claimed / "2.position").write_text("")
    adapter = opened(tmp_path)
    (claim,) = adapter.claim("me", 5)
    assert (claim.id, claim.position) == ("2", 0)
    adapter.done(claim)
    adapter.claim("me", 5)
    assert "2" not in os.listdir(claimed)


# --- links that somebody planted ----------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A directory that the bus may write to and whoever drops files may not."""
    (tmp_path / "mybus").mkdir()
    (tmp_path / "mybus" / "esb.yaml").write_text("bus: shop")
    return tmp_path / "mybus"


@pytest.fixture
def box(tmp_path) -> Path:
    """The directory that is polled, with one file in it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "evil.yaml").write_bytes(b"endpoint: evil")
    return tmp_path / "in"


def untouched(directory: Path) -> bool:
    """It holds what it held."""
    return [path.name for path in directory.rglob("*")] == ["esb.yaml"] and (
        directory / "esb.yaml"
    ).read_text() == "bus: shop"


def settled(adapter: FileAdapter, how: str) -> None:
    """Take the one file and put it away."""
    (claim,) = adapter.claim("me", 5)
    adapter.reject(claim, "no csv") if how == "reject" else adapter.done(claim)


@pytest.mark.parametrize(("how", "link"), [("reject", ".rejected"), ("done", ".done")])
def test_nothing_is_put_away_through_a_planted_link(box, elsewhere, how, link):
    """It stays claimed, the error names the link, and once the link is gone the file goes where it should."""
    adapter = opened(box)
    (box / link).symlink_to(elsewhere)
    with pytest.raises(Unreachable, match=rf"{link} is a link that leads out of .*: remove it"):
        settled(adapter, how)
    assert untouched(elsewhere)
    (box / link).unlink()
    settled(adapter, how)
    assert len(list((box / link).rglob("evil.yaml"))) == 1


def test_a_file_behind_a_planted_link_does_not_hold_up_others(box, elsewhere):
    """Only what cannot be put away waits."""
    adapter = opened(box)
    (box / ".rejected").symlink_to(elsewhere)
    with pytest.raises(Unreachable):
        settled(adapter, "reject")
    (box / "good.csv").write_bytes(b"x")
    *_, good = adapter.claim("me", 5)
    adapter.done(good)
    assert [path.name for path in (box / ".done").glob("*/*")] == ["good.csv"]


def test_no_directory_is_made_behind_a_planted_link(box, elsewhere):
    """A link that leads to nothing yet would have it made."""
    adapter = opened(box)
    (box / ".rejected").symlink_to(elsewhere / "endpoints")
    with pytest.raises(Unreachable, match=r"\.rejected is a link"):
        settled(adapter, "reject")
    assert untouched(elsewhere)


def test_a_reason_is_not_written_through_a_planted_link(box, elsewhere):
    """The link is replaced: its name is ours."""
    (box / ".rejected").mkdir()
    (box / ".rejected" / "evil.yaml.reason.txt").symlink_to(elsewhere / "esb.yaml")
    settled(opened(box), "reject")
    assert untouched(elsewhere)
    assert (box / ".rejected" / "evil.yaml.reason.txt").read_text() == "no csv\n"


@pytest.mark.parametrize("link", [".claimed", ".claimed/till"])
def test_nothing_is_claimed_through_a_planted_link(box, elsewhere, link):
    """The file stays where it lies."""
    adapter = opened(box)
    (box / link).parent.mkdir(exist_ok=True)
    (box / link).symlink_to(elsewhere)
    with pytest.raises(Unreachable, match=rf"{link} is a link"):
        adapter.claim("me", 5)
    assert untouched(elsewhere)
    assert (box / "evil.yaml").exists()


def test_a_link_among_the_claims_is_no_claim(box, elsewhere):
    """It would have another directory's files read as messages, and moved away."""
    (box / ".claimed" / "till").mkdir(parents=True)
    (box / ".claimed" / "till" / "1").symlink_to(elsewhere)
    assert names(opened(box)) == ["evil.yaml"]
    assert untouched(elsewhere)


@pytest.mark.parametrize("act", [FileAdapter.done, FileAdapter.release])
def test_a_link_in_place_of_a_claim_gives_nothing_away(box, elsewhere, act):
    """A file of the same name that lies elsewhere would be moved to where anybody reads it."""
    (box / "evil.yaml").rename(box / "esb.yaml")
    adapter = opened(box)
    (claim,) = adapter.claim("me", 5)
    shutil.rmtree(claim.path.parent)
    claim.path.parent.symlink_to(elsewhere)
    with pytest.raises(Unreachable, match="is a link"):
        claim.open()
    with pytest.raises(Unreachable, match="is a link"):
        act(adapter, claim)
    assert untouched(elsewhere)


def test_a_position_is_not_written_through_a_planted_link(box, elsewhere):
    """Nor read from a pipe, which would never end."""
    adapter = opened(box)
    (claim,) = adapter.claim("me", 5)
    (box / ".claimed" / "till" / f"{claim.id}.next").symlink_to(elsewhere / "esb.yaml")
    claim.advance(5)
    assert untouched(elsewhere)
    assert adapter.claim("me", 5)[0].position == 5
    (box / ".claimed" / "till" / f"{claim.id}.position").unlink()
    os.mkfifo(box / ".claimed" / "till" / f"{claim.id}.position")
    assert adapter.claim("me", 5)[0].position == 0


def test_a_marker_is_not_made_through_a_planted_link(box, elsewhere):
    """A released file has its marker again, and nothing else appears."""
    (box / "evil.yaml.ok").touch()
    adapter = opened(box, ready="marker .ok")
    (claim,) = adapter.claim("me", 5)
    (box / "evil.yaml.ok").symlink_to(elsewhere / "made")
    adapter.release(claim)
    assert untouched(elsewhere)
    assert names(adapter) == ["evil.yaml"]


def test_finished_files_may_go_elsewhere_when_the_settings_say_so(box, elsewhere, tmp_path):
    """Below there a link leads nowhere either; and a path that leads back into the directory is one in it."""
    adapter = opened(box, done=str(tmp_path / "archive"))
    settled(adapter, "done")
    (day,) = (tmp_path / "archive").iterdir()
    assert [path.name for path in day.iterdir()] == ["evil.yaml"]
    shutil.rmtree(day)
    day.symlink_to(elsewhere)
    (box / "b.csv").touch()
    with pytest.raises(Unreachable, match=r"is a link that leads out of .*archive"):
        settled(adapter, "done")
    (box / ".done").symlink_to(elsewhere)
    with pytest.raises(Unreachable, match=r"\.done is a link"):
        settled(opened(box, done=str(box / ".done")), "done")
    assert untouched(elsewhere)


def test_temporary_files_are_neither_cleared_nor_made_behind_a_planted_link(box, elsewhere):
    """A start would have removed whatever is old there."""
    os.utime(elsewhere / "esb.yaml", (1, 1))
    (box / ".tmp").symlink_to(elsewhere)
    adapter = opened(box, {"path": "{message_id}"})
    assert untouched(elsewhere)
    with pytest.raises(Unreachable, match=r"\.tmp is a link"):
        adapter.send(message())


# --- out ----------------------------------------------------------------------------------------------------------


def test_the_name_is_filled_from_the_message(tmp_path):
    """Fields by dotted path, the message's words, its time in UTC."""
    adapter = opened(tmp_path, {"path": "{time:%Y%m%d}/{customer.id}-{qty}-{message_id}.json"})
    adapter.send(message({"customer": {"id": "C1"}, "qty": 2}, time=86400.0))
    assert (tmp_path / "19700102" / "C1-2-m-1.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    "value", ["../../etc/passwd", "..", ".", "/etc/passwd", "a/../../b", "a\0b", "\\\\srv", ".ssh"]
)
def test_no_field_leads_out_of_the_directory(tmp_path, value):
    """Whatever a document says, the file lies below the directory, and is not hidden."""
    inside = tmp_path / "out"
    opened(inside, {"path": "{id}"}).send(message({"id": value}))
    (written,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written.parent == inside
    assert not written.name.startswith(".")


def test_a_link_below_the_directory_leads_nowhere(tmp_path):
    """Somebody put a link where a subdirectory should be."""
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "orders").symlink_to(tmp_path / "elsewhere")
    for path in ("orders/{message_id}", "orders/new/{message_id}"):
        with pytest.raises(Refused, match="leads out"):
            opened(tmp_path / "out", {"path": path}).send(message())
    assert os.listdir(tmp_path / "elsewhere") == []


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_value_is_one_safe_part_of_a_name_and_stays_different(one, other):
    """Any text: a single part, not hidden, short enough; different texts give different parts."""
    part = file_name_part(one)
    assert part not in (".", "..")
    assert not {"/", "\\", "\0"} & set(part)
    assert not part.startswith(".")
    assert len(part.encode()) <= 120
    assert (one == other) == (part == file_name_part(other))


@pytest.mark.parametrize("document", [{}, {"id": None}, {"id": ""}, {"id": {"a": 1}}, {"id": [1]}, "text"])
def test_a_missing_field_is_the_messages_fault_and_named(tmp_path, document):
    """No file named ``None.json``."""
    with pytest.raises(Refused, match=r"\{id\}"):
        opened(tmp_path, {"path": "{id}.json"}).send(message(document))


@pytest.mark.parametrize(
    "path",
    ["/etc/{id}", "../{id}", "a/../{id}", "a//{id}", ".hidden-{id}", "fixed.json", "{id", "{0}", "{id!r}", "{id:>9}"],
)
def test_a_wrong_path_template_is_a_finding(path):
    """Found while loading, not with the first message."""
    with pytest.raises(ValidationError):
        FileOperation(path=path)


def test_another_content_under_the_same_name_is_refused_or_replaced_as_told(tmp_path):
    """Nothing is overwritten that was not meant to be."""
    careful = opened(tmp_path, {"path": "{id}"})
    careful.send(message({"id": "a"}, b"first"))
    with pytest.raises(Refused, match="overwrite"):
        careful.send(message({"id": "a"}, b"second"))
    opened(tmp_path, {"path": "{id}", "overwrite": True}).send(message({"id": "a"}, b"second"))
    assert (tmp_path / "a").read_bytes() == b"second"


@pytest.mark.parametrize("trouble", ["taken", "a directory", "too long", "a link", "unsynced"])
def test_an_error_shows_the_path_as_it_is_configured(tmp_path, monkeypatch, trouble):
    """What it is filled with may be masked, and stands in it in another form than in the message."""
    adapter = opened(tmp_path, {"path": "z{zone}/{id}-{name}-{id}.json", "overwrite": trouble == "a directory"})
    document = {"zone": "K/1", "id": 4711, "name": "é" * 120 if trouble == "too long" else "n"}
    if trouble == "taken":
        adapter.send(message(document, b"first"))
    elif trouble == "a directory":
        (tmp_path / "zK%2F1" / "4711-n-4711.json").mkdir(parents=True)
    elif trouble == "too long":
        document["id"] = "1" * 150
    elif trouble == "a link":
        (tmp_path / "zK%2F1").symlink_to(tmp_path.parent)
    else:
        (tmp_path / "zK%2F1").mkdir()
        monkeypatch.setattr(writer, "_sync_directory", broken_disk)
    with pytest.raises(EsbError, match=r"z\{zone\}") as raised:
        adapter.send(message(document, b"second"))
    assert "K%2F1" not in str(raised.value)
    assert "4711" not in str(raised.value)


def broken_disk(directory: Path) -> None:
    raise OSError(errno.EIO, "the disk is broken")


def test_half_written_files_are_cleared_but_not_those_under_way(tmp_path):
    """A crash while writing leaves a temporary file; a later start removes it."""
    (tmp_path / ".tmp").mkdir()
    for name, age in (("old", 7200), ("young", 0)):
        (tmp_path / ".tmp" / name).touch()
        os.utime(tmp_path / ".tmp" / name, (time.time() - age,) * 2)
    opened(tmp_path)
    assert os.listdir(tmp_path / ".tmp") == ["young"]


# --- an ordinary user ---------------------------------------------------------------------------------------------


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that another user may write to (those of ``tmp_path`` are private to who runs the tests)."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


class as_nobody:
    """Root may read everything, so for a while we are not root."""

    def __enter__(self) -> None:
        if os.getuid() == 0:
            os.seteuid(65534)

    def __exit__(self, *args: object) -> None:
        if os.getuid() == 0:
            os.seteuid(0)
