"""What stands in a guest's configuration and is not understood here: a word that no table of ours has.

The table may be too old, or the word may be a slip that its program refuses: nothing that hangs on it is
judged, and it is said that it was not.
"""

from __future__ import annotations

from dataclasses import dataclass

from guestrepair.model import GuestPath


@dataclass(frozen=True, slots=True)
class Strange:
    """A word of a file, and what it would have to be; ``line`` counts from 1, 0 is the file as a whole."""

    path: GuestPath
    line: int
    word: str
    what: str
