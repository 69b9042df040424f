"""How much may stand around a record. It is kept with each of them, so that each can be read again by itself: a file
of 1 MB whose first line has most of it would become gigabytes.
"""

from __future__ import annotations

AROUND = 64 * 1024  # bytes: a header line, a header record, the tags of what a record lies in
COLUMNS = 2000  # names in one header line
