"""Modes, owners, capabilities, access lists and labels of what is there in both guests."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator

from guestrepair.compare.contents import is_configuration
from guestrepair.compare.files import Pair
from guestrepair.compare.model import Difference, Kind, NotCompared, Section
from guestrepair.compare.noise import is_privileged, noise_of
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.capabilities import XATTR as CAPABILITIES
from guestrepair.formats.capabilities import format_text, parse_xattr
from guestrepair.formats.posix_acl import ACL_ACCESS, acl_text
from guestrepair.guest.view import LABEL_ATTRIBUTE, Guest
from guestrepair.model import GuestPath

MAX_EXAMINED = 4000
"""Files of which extended attributes are read: where the host cannot tell that there are none, each takes
some milliseconds."""

_NAMES = {CAPABILITIES: "capabilities", ACL_ACCESS: "access list", LABEL_ATTRIBUTE: "label"}
_SELINUX = GuestPath("/etc/selinux/config")


def modes(pair: Pair) -> Iterator[Difference]:
    """What lstat(2) tells."""
    if pair.both is None or pair.is_new_kind:
        return
    before, after = pair.both
    if before.mode != after.mode and not stat.S_ISLNK(after.mode):
        yield _difference(pair, "mode", f"{stat.S_IMODE(before.mode):04o}", f"{stat.S_IMODE(after.mode):04o}")
    if (before.uid, before.gid) != (after.uid, after.gid):
        yield _difference(pair, "owner", f"{before.uid}:{before.gid}", f"{after.uid}:{after.gid}")


def extended(
    guests: tuple[Guest, Guest], found: Iterable[Pair], lost: list[NotCompared], notes: list[str]
) -> Iterator[Difference]:
    """What extended attributes tell of those files that were changed since they were the same."""
    wanted = [p for p in found if not p.is_new_kind and _has_any(p.either.mode) and noise_of(p.path) is None]
    wanted.sort(key=_rank)
    if len(wanted) > MAX_EXAMINED:
        notes.append(
            f"extended attributes of {MAX_EXAMINED} of {len(wanted)} files were compared: those of programs "
            "and of configuration first"
        )
    labelled = any(guest.exists(_SELINUX) for guest in guests)
    for pair in wanted[:MAX_EXAMINED]:
        names = [CAPABILITIES] if stat.S_ISREG(pair.either.mode) else []
        names += [ACL_ACCESS, *([LABEL_ATTRIBUTE] if labelled else [])]
        try:
            yield from _of_one(guests, pair, names)
        except GuestReadError as error:
            lost.append(NotCompared("", error.path, error.reason))


def _has_any(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _rank(pair: Pair) -> tuple[bool, bool, str]:
    mode = pair.either.mode
    return not (stat.S_ISREG(mode) and mode & 0o111), not is_configuration(pair.path), pair.path


def _of_one(guests: tuple[Guest, Guest], pair: Pair, names: list[str]) -> Iterator[Difference]:
    path = GuestPath(pair.path)
    for name in names:
        before, after = (guest.xattr(path, name) for guest in guests)
        if before != after:
            yield _difference(pair, _NAMES[name], _text(name, before), _text(name, after))


def capabilities(guest: Guest, pair: Pair) -> str:
    """The capabilities of a file that is new, as text; "" without any."""
    return _text(CAPABILITIES, guest.xattr(GuestPath(pair.path), CAPABILITIES))


def _text(name: str, value: bytes) -> str:
    """The attribute as its tools write it; in hexadecimal where it is none that they know."""
    if not value:
        return "none"
    try:
        if name == CAPABILITIES:
            return format_text(parse_xattr(value))
        if name == ACL_ACCESS:
            return acl_text(value)
    except FormatError:
        return value[:64].hex()
    return value.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _difference(pair: Pair, what: str, before: str, after: str) -> Difference:
    privileged = any(r is not None and is_privileged(pair.path, r.mode) for r in (pair.before, pair.after))
    return Difference(
        section=Section.ATTRIBUTES,
        kind=Kind.CHANGED,
        name=pair.path,
        before=before,
        after=after,
        detail=what,
        noise=None if privileged or what == "capabilities" else noise_of(pair.path),
    )
