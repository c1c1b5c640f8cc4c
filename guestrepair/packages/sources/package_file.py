"""Package files (.deb, .rpm, .apk, .pkg.tar.*) as sources: what they are, and single files out of them.

All reading happens in :mod:`guestrepair.packages.archive_child`; what that answers is checked here.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from guestrepair.disk import children
from guestrepair.errors import FormatError
from guestrepair.formats import capabilities
from guestrepair.guest.package_formats import PACKAGE_FORMATS
from guestrepair.model import GuestPath, PackagedKind, RestoreAttributes, RestoreFile
from guestrepair.packages import archive_child
from guestrepair.packages.aliases import usr_form
from guestrepair.packages.base import Package
from guestrepair.packages.child import LimitedChild
from guestrepair.packages.debian_attributes import AFTER_INSTALLATION
from guestrepair.packages.reference import Attributes
from guestrepair.packages.sources.base import Refusal, SourcedChange, SourcedFile
from guestrepair.packages.spool import Spool, opened_packages, spool

SUFFIXES = tuple(suffix for each in PACKAGE_FORMATS for suffix in each.suffixes)
_NOTHING = RestoreAttributes(path=GuestPath("/"), package="", version="", architecture="")
_AT_ONCE = 400
"""Package files open at a time: a process may usually have 1024 (RLIMIT_NOFILE)."""

_LIMITS = children.Limits(memory_bytes=2 * 1024**3, cpu_seconds=600, file_bytes=16 * 1024**3)
_BOGUS = "the reader of package files gave an answer that makes no sense"


@dataclass(frozen=True, slots=True)
class Identified:
    """A package file, and the package that it says it is; ``problem`` instead when it cannot be read."""

    path: Path
    package: Package | None
    problem: str = ""


def _ask(request: Mapping[str, Any], files: Sequence[int], home: Path) -> Iterator[dict[str, Any]]:
    """The reader's answers; the last one is ``{"error": …}`` when it did not come to its end.

    ``files`` are the open files that the request names; nothing else of ``home`` is known to the reader.

    Raises:
        OSError: no space in ``home``.
    """
    with tempfile.TemporaryFile(dir=home) as scratch:
        asked = {**request, "scratch": scratch.fileno()}
        with LimitedChild(
            archive_child.__file__,
            request=json.dumps(asked).encode(),
            limits=_LIMITS,
            user=children.lesser_user(),
            files=[*files, scratch.fileno()],
        ) as child:
            yield from _answers(child)


def _answers(child: LimitedChild) -> Iterator[dict[str, Any]]:
    for line in child.lines():
        try:
            answer = json.loads(line)
        except ValueError:
            yield {"error": _BOGUS}
            return
        if not isinstance(answer, dict) or "end" in answer:
            return
        yield answer
    yield {"error": child.last_words()}


def _extract(
    path: Path, wanted: Sequence[str] | None, content: Spool | None, home: Path
) -> Iterator[dict[str, Any]]:
    """The answers about one package's members; their content is in the spool where there is one.

    Raises:
        OSError: no space in ``home``.
    """
    with opened_packages([path]) as opened:
        number = opened[path]
        if isinstance(number, str):
            yield {"error": number}
            return
        kept = [] if content is None else [content.number]
        request = {"do": "extract", "file": number, "wanted": wanted, "spool": kept[0] if kept else None}
        yield from _ask(request, [number, *kept], home)


def _packages(opened: Mapping[Path, int | str], home: Path) -> Mapping[int, Package | str]:
    """What each of these open files is, or why it is not known.

    Raises:
        OSError: no space in ``home``.
    """
    numbers = [number for number in opened.values() if isinstance(number, int)]
    found: dict[int, Package | str] = {}
    problem = "not looked at"
    for answer in _ask({"do": "identify", "files": numbers}, numbers, home) if numbers else ():
        fields = [answer.get(key) for key in ("name", "version", "arch")]
        number = answer.get("file")
        if "error" in answer or not isinstance(number, int):
            problem = str(answer.get("error", _BOGUS))
        if isinstance(number, int):
            known = "error" not in answer and all(isinstance(field, str) for field in fields)
            found[number] = Package(str(fields[0]), str(fields[1]), str(fields[2])) if known else problem
    return dict.fromkeys(numbers, problem) | found


def identify(paths: Sequence[Path], home: Path) -> tuple[Identified, ...]:
    """What each of these files is; ``home`` is a private directory."""
    found: list[Identified] = []
    for start in range(0, len(paths), _AT_ONCE):
        some = paths[start : start + _AT_ONCE]
        try:
            with opened_packages(some) as opened:
                known = _packages(opened, home)
                found += [_identified(path, opened[path], known) for path in some]
        except OSError as error:
            found += [Identified(path, None, f"not looked at: {error.strerror}") for path in some]
    return tuple(found)


def _identified(path: Path, number: int | str, known: Mapping[int, Package | str]) -> Identified:
    found = number if isinstance(number, str) else known[number]
    return Identified(path, None, found) if isinstance(found, str) else Identified(path, found)


def find_in(
    path: Path, shown: str, changes: Sequence[SourcedChange], workdir: Path
) -> Mapping[SourcedChange, SourcedFile | Refusal]:
    """An answer for each change out of one package file; ``shown`` is what the plan calls the file."""
    wanted = sorted({name for change in changes for name in _names(change)})
    result: dict[SourcedChange, SourcedFile | Refusal] = {}
    try:
        with spool(workdir) as content:
            keep = any(isinstance(change, RestoreFile) for change in changes)
            members, problem = _members(path, wanted, content if keep else None, workdir)
            for change in changes:
                member = members.get(usr_form(str(change.path)))
                try:
                    refused = Refusal(problem)
                    result[change] = refused if member is None else _sourced(change, member, shown, content)
                except (TypeError, ValueError, KeyError, FormatError):
                    result[change] = Refusal(_BOGUS)
    except OSError as error:
        return dict.fromkeys(changes, Refusal(f"the package cannot be unpacked: {error.strerror}"))
    return result


def _members(
    path: Path, wanted: Sequence[str], content: Spool | None, workdir: Path
) -> tuple[Mapping[str, dict[str, Any]], str]:
    """The wanted members by their paths on a merged system, and why one is not among them."""
    members: dict[str, dict[str, Any]] = {}
    problem = "the package has no such file"
    for answer in _extract(path, wanted, content, workdir):
        if "error" in answer:
            problem = f"the package cannot be read: {answer['error']}"
        elif isinstance(answer.get("path"), str):
            members[usr_form(answer["path"])] = answer
    return members, problem


_TYPES = {"file": 0o100000, "directory": 0o040000, "symlink": 0o120000}


def member_attributes(path: Path, workdir: Path) -> Mapping[str, Attributes]:
    """Type, mode and owner of every member of a package file, by its path on a merged system.

    Empty when the package cannot be read to its end.
    """
    answer: dict[str, Attributes] = {}
    try:
        for member in _extract(path, None, None, workdir):
            place = GuestPath(usr_form(member["path"]))
            known = _as_installed(place, _sourced(_NOTHING, member, path.name, None))
            kind = _TYPES.get(str(known.kind), 0)
            answer[str(place)] = Attributes(kind | known.mode, known.owner, known.group)
    except (TypeError, ValueError, KeyError, FormatError, OSError):
        return {}
    return answer


def _names(change: SourcedChange) -> tuple[str, ...]:
    """The names under which a package may hold the path (before the merge of /usr, and after it)."""
    path = str(change.path)
    bare = path.removeprefix("/usr") if path.startswith("/usr/") else path
    return (path, bare, usr_form(path))


def _sourced(
    change: SourcedChange, member: Mapping[str, Any], shown: str, contents: Spool | None
) -> SourcedFile:
    kind = PackagedKind(member["kind"])
    content, digest = None, ""
    if isinstance(change, RestoreFile) and kind is PackagedKind.FILE:
        place = member.get("content")
        if contents is not None and place is not None:
            content = contents.take(place)
            algorithm = change.digest.partition(":")[0]
            digest = f"{algorithm}:{_hash(content, algorithm)}" if algorithm else ""
    link = member.get("link")
    sourced = SourcedFile(
        source=shown,
        kind=kind,
        mode=int(member["mode"]) & 0o7777,
        uid=int(member["uid"]),
        gid=int(member["gid"]),
        owner=str(member.get("user") or member["uid"]),
        group=str(member.get("group") or member["gid"]),
        mtime=int(member["mtime"]),
        size_bytes=content.stat().st_size if content is not None else 0,
        content=content,
        link_target=str(link) if link is not None else None,
        xattrs=_xattrs(member),
        digest=digest,
    )
    return _as_installed(change.path, sourced) if shown.endswith(".deb") else sourced


def _hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _xattrs(member: Mapping[str, Any]) -> dict[str, bytes]:
    raw = member.get("capability")
    if isinstance(raw, str):
        return {capabilities.XATTR: bytes.fromhex(raw)}
    text = member.get("caps")
    value = capabilities.format_xattr(capabilities.parse_text(text)) if isinstance(text, str) else b""
    return {capabilities.XATTR: value} if value else {}


def _as_installed(path: GuestPath, sourced: SourcedFile) -> SourcedFile:
    """The file out of a .deb, with what its package's scripts would have set."""
    known = AFTER_INSTALLATION.get(usr_form(str(path)))
    if known is None:
        return sourced
    xattrs = dict(sourced.xattrs)
    if known.capabilities:
        value = capabilities.format_xattr(capabilities.parse_text(known.capabilities))
        xattrs[capabilities.XATTR] = value
    return replace(sourced, mode=known.mode, owner=known.owner, group=known.group, xattrs=xattrs)
