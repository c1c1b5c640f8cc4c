"""What on the command line is an image and not a command: ``guestrepair IMAGE`` alone is ``scan IMAGE``."""

from __future__ import annotations

import os

_SUFFIXES = (
    ".qcow2", ".qcow", ".raw", ".img", ".vmdk", ".vhd", ".vhdx", ".vpc", ".vdi", ".dd", ".ova",
    ".gz", ".xz", ".zst", ".bz2", ".tar", ".tgz",
)  # fmt: skip
"""How names of images end; an archive's own reader says what it makes of it."""


def looks_like_an_image(word: str) -> bool:
    """True for what is there, for a path or URI, and for a name that ends as those of images do.

    A word that is none of these is a mistyped command, and no image that is missing.
    """
    return os.path.lexists(word) or "/" in word or word.partition("!")[0].lower().endswith(_SUFFIXES)
