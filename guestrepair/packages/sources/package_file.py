"""Package files (.deb, .rpm, .apk, .pkg.tar.*) as sources: what they are, and single files out of them.

All reading happens in :mod:`guestrepair.packages.archive_child`; what that answers is checked here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from guestrepair.errors import FormatError
from guestrepair.formats import capabilities
from guestrepair.model import GuestPath, PackagedKind, RestoreAttributes, RestoreFile
from guestrepair.packages import archive_child
from guestrepair.packages.aliases import usr_form
from guestrepair.packages.base import Package
from guestrepair.packages.child import LimitedChild
from guestrepair.packages.debian_attributes import AFTER_INSTALLATION
from guestrepair.packages.reference import Attributes
from guestrepair.packages.sources.base import Refusal, SourcedChange, SourcedFile

SUFFIXES = (".deb", ".rpm", ".apk", ".pkg.tar.zst", ".pkg.tar.xz", ".pkg.tar.gz", ".pkg.tar")
_NOTHING = RestoreAttributes(path=GuestPath("/"), package="", version="", architecture="")
_BOGUS = "the reader of package files gave an answer that makes no sense"


@dataclass(frozen=True, slots=True)
class Identified:
    """A package file, and the package that it says it is; ``problem`` instead when it cannot be read."""

    path: Path
    package: Package | None
    problem: str = ""


def _ask(request: Mapping[str, Any], home: Path) -> Iterator[dict[str, Any]]:
    """The reader's answers; the last one is ``{"error": …}`` when it did not come to its end."""
    with LimitedChild(archive_child.__file__, home=home, request=json.dumps(request).encode()) as child:
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


def identify(paths: Sequence[Path], home: Path) -> tuple[Identified, ...]:
    """What each of these files is; ``home`` is a private directory."""
    found: dict[str, Identified] = {}
    problem = "not looked at"
    for answer in _ask({"do": "identify", "files": [str(path) for path in paths]}, home):
        fields = [answer.get(key) for key in ("name", "version", "arch")]
        name = answer.get("file")
        if "error" in answer or not isinstance(name, str):
            problem = str(answer.get("error", _BOGUS))
            found[str(name)] = Identified(Path(str(name)), None, problem)
        elif all(isinstance(field, str) for field in fields):
            found[name] = Identified(Path(name), Package(*(str(field) for field in fields)))
    return tuple(found.get(str(path), Identified(path, None, problem)) for path in paths)


def find_in(
    path: Path, shown: str, changes: Sequence[SourcedChange], workdir: Path
) -> Mapping[SourcedChange, SourcedFile | Refusal]:
    """An answer for each change out of one package file; ``shown`` is what the plan calls the file."""
    content = any(isinstance(change, RestoreFile) for change in changes)
    wanted = sorted({name for change in changes for name in _names(change)})
    request = {
        "do": "extract",
        "file": str(path),
        "wanted": wanted,
        "workdir": str(workdir),
        "content": content,
    }
    members: dict[str, dict[str, Any]] = {}
    problem = "the package has no such file"
    for answer in _ask(request, workdir):
        if "error" in answer:
            problem = f"the package cannot be read: {answer['error']}"
        elif isinstance(answer.get("path"), str):
            members[usr_form(answer["path"])] = answer
    result: dict[SourcedChange, SourcedFile | Refusal] = {}
    for change in changes:
        member = members.get(usr_form(str(change.path)))
        try:
            result[change] = Refusal(problem) if member is None else _sourced(change, member, shown, workdir)
        except (TypeError, ValueError, KeyError, FormatError):
            result[change] = Refusal(_BOGUS)
    return result


_TYPES = {"file": 0o100000, "directory": 0o040000, "symlink": 0o120000}


def member_attributes(path: Path, workdir: Path) -> Mapping[str, Attributes]:
    """Type, mode and owner of every member of a package file, by its path on a merged system.

    Empty when the package cannot be read to its end.
    """
    request = {"do": "extract", "file": str(path), "wanted": None, "workdir": str(workdir), "content": False}
    answer: dict[str, Attributes] = {}
    for member in _ask(request, workdir):
        try:
            place = GuestPath(usr_form(member["path"]))
            known = _as_installed(place, _sourced(_NOTHING, member, path.name, workdir))
        except (TypeError, ValueError, KeyError, FormatError):
            return {}
        kind = _TYPES.get(str(known.kind), 0)
        answer[str(place)] = Attributes(kind | known.mode, known.owner, known.group)
    return answer


def _names(change: SourcedChange) -> tuple[str, ...]:
    """The names under which a package may hold the path (before the merge of /usr, and after it)."""
    path = str(change.path)
    bare = path.removeprefix("/usr") if path.startswith("/usr/") else path
    return (path, bare, usr_form(path))


def _sourced(change: SourcedChange, member: Mapping[str, Any], shown: str, workdir: Path) -> SourcedFile:
    kind = PackagedKind(member["kind"])
    content, digest = None, ""
    if isinstance(change, RestoreFile) and kind is PackagedKind.FILE:
        name = member.get("content")
        if isinstance(name, str) and "/" not in name:
            content = workdir / name
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
