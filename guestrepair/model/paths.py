"""Paths inside the guest."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TypeAlias

GuestPath: TypeAlias = PurePosixPath
"""A path inside the guest, absolute. Host paths are ``pathlib.Path``: the two never mix."""

ALIASED_DIRECTORIES = ("bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32")
"""Names that may be a link in / to the directory of the same name in /usr."""
