"""Who owns a lease: one process, named so that the others of its machine can tell when it is gone.

The kernel knows at once, where the end of a lease would be waited for. It is asked only about processes that it surely
knows: of the same boot, in the same namespace of process ids (two containers of a machine may both have a process 7,
and go by one host name). On others, and where there is no ``/proc``, the lease has to run out.
"""

from __future__ import annotations

import os
from functools import cache
from hashlib import blake2b
from pathlib import Path

from esb.message import new_id


def new_owner() -> str:
    """A name for what this process does, never used before: ``<where the process is>/<its pid>/<id>``."""
    return f"{_here()}/{os.getpid()}/{new_id()}"


def is_gone(owner: str) -> bool:
    """Whether the process that made this name certainly runs no more. A pid used again only hides that."""
    where, _, rest = owner.partition("/")
    pid = rest.partition("/")[0]
    if not where or where != _here() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it runs, as somebody else
    return False


@cache
def _here() -> str:
    """Where process ids mean the same thing; "" where the kernel does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return blake2b(f"{boot}{namespace}".encode(), digest_size=8).hexdigest()
