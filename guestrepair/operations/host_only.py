"""What an examination by this host alone leaves open: each device, mount and question, as inconclusive.

Code that meets something unreadable may go on without it, for good reasons of its own. So whatever the
appliance was wanted for is held against the report at the end: nothing of it passes in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.errors import LeftOutError
from guestrepair.model import Inconclusive
from guestrepair.session.session import Session

_AREA = "filesystems"
_NAMED = 3


def left_open(session: Session, said: Sequence[Inconclusive]) -> list[Inconclusive]:
    """What the appliance was wanted for, beside what is ``said`` already; nothing where there is one."""
    if not session.on_host_alone:
        return []
    text = "\n".join(each.reason for each in said)
    devices = [f"{name}: {why}" for name, why in session.not_looked_at() if not _names(text, name)]
    mounts = [
        f"{name}: whether Linux mounts it is not certain ({why}): {LeftOutError().reason}"
        for name, why in session.mount_table.doubts.items()
    ]
    text = "\n".join((text, *devices, *mounts))
    # Volumes and arrays are asked about without a path: their parts are among the devices.
    asked = [p for p in session.starting.unanswered if p.startswith("/") and not _names(text, p)]
    return [Inconclusive(_AREA, reason) for reason in (*devices, *mounts, *_together(asked))]


def _names(text: str, subject: str) -> bool:
    """Whether a reason is about a path or device."""
    return f"{subject}:" in text or f"{subject} " in text


def _together(paths: Sequence[str]) -> Iterator[str]:
    if paths:
        more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
        yield f"{', '.join(paths[:_NAMED])}{more}: {LeftOutError().reason}"
