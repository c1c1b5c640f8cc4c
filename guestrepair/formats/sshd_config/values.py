"""What each kind of argument must look like: one small check a kind.

A check takes the line's arguments as sshd would and raises
:class:`~guestrepair.formats.sshd_config.line.BadLine` with what sshd says when
it refuses them. What it leaves is looked at by the caller ("extra arguments at
end of line").
"""

from __future__ import annotations

from guestrepair.formats.sshd_config.line import Check
from guestrepair.formats.sshd_config.lists import LIST_CHECKS
from guestrepair.formats.sshd_config.scalars import SCALAR_CHECKS

CHECKS: dict[str, Check] = {**SCALAR_CHECKS, **LIST_CHECKS}
"""The check of each kind of argument (``match`` and ``include`` are the parser's own)."""
