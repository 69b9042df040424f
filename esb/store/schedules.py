"""Schedules: what each job was last due for, was handed out for, and has done. Moments are seconds since the epoch.

The one memory of what ran: neither the process that hands jobs out nor the queue they go through keeps any.
"""

from __future__ import annotations

import msgspec

from esb.store.connection import Connection
from esb.store.text import cut


class ScheduleRow(msgspec.Struct, frozen=True):
    """One job. ``sent`` beyond ``done``: it is under way, or was lost on the way."""

    name: str
    spec: str  # the timetable that ``base`` was noted for
    base: float = 0.0  # nothing before it is due any more
    sent: float = 0.0  # the moment it was last handed out for
    sent_at: float = 0.0  # and when that was
    done: float = 0.0  # the moment it last ran for; 0: never
    done_at: float = 0.0
    previous: float = 0.0  # what ``done`` was before
    wanted: float = 0.0  # when a person asked for it; 0: nobody waits
    note: str = ""  # what came of it

    @property
    def last(self) -> float:
        """The moment that the next one must lie behind."""
        return max(self.base, self.sent, self.done)


_FIELDS = ", ".join(ScheduleRow.__struct_fields__)


class Schedules:
    """The rows of ``schedules``, one per job."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def all(self) -> dict[str, ScheduleRow]:
        """Every job that was ever begun, by name."""
        return {row[0]: ScheduleRow(*row) for row in self._db.rows(f"SELECT {_FIELDS} FROM schedules")}

    def begin(self, name: str, spec: str, at: float) -> None:
        """A job is seen for the first time, or with another timetable: from now on, not for what lies behind."""
        self._db.run(
            f"INSERT INTO schedules ({_FIELDS}) VALUES (?, ?, ?, 0, 0, 0, 0, 0, 0, '') "
            "ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, base = excluded.base",
            (name, spec, at),
        )

    def hand_out(self, name: str, before: float, moment: float, now: float) -> bool:
        """Note that a job was handed out; ``before`` is the ``sent`` that was seen. False: somebody was faster."""
        sql = "UPDATE schedules SET sent = ?, sent_at = ?, wanted = 0 WHERE name = ? AND sent = ?"
        return self._db.run(sql, (moment, now, name, before)) == 1

    def done(self, name: str, moment: float, now: float, note: str = "") -> ScheduleRow | None:
        """Note that a job ran for a moment; None when it did already, or for a later one: then do nothing.

        In one transaction with what the job does, this makes it once for each moment.
        """
        row = self._db.row(
            "UPDATE schedules SET previous = done, done = ?, done_at = ?, note = ? WHERE name = ? AND done < ? "
            f"RETURNING {_FIELDS}",
            (moment, now, cut(note, 2000), name, moment),
        )
        return ScheduleRow(*row) if row else None

    def failed(self, name: str, note: str) -> None:
        """It went wrong this time; it counts as under way until it is handed out again."""
        self._db.run("UPDATE schedules SET note = ? WHERE name = ?", (cut(note, 2000), name))

    def want(self, name: str, at: float) -> None:
        """A person wants it to run, whenever it is due."""
        self._db.run(
            f"INSERT INTO schedules ({_FIELDS}) VALUES (?, '', 0, 0, 0, 0, 0, 0, ?, '') "
            "ON CONFLICT (name) DO UPDATE SET wanted = excluded.wanted",
            (name, at),
        )
