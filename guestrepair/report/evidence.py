"""The documents of an evidence bundle: what was examined, by whom, with what; and what is kept about a file.

Nothing in them depends on the moment or on the place of temporary files: two bundles of one image are alike.
Field names are those that forensic tools share (case_number, examiner, description, notes: libewf; source,
acquisition, digests: ISO/IEC 27037).
"""

from __future__ import annotations

import platform
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guestrepair import __version__
from guestrepair.disk.attach.location import ImageName, Location
from guestrepair.errors import FormatError
from guestrepair.events.model import Unread
from guestrepair.events.secrets import masked_document
from guestrepair.formats.posix_acl import ACL_ACCESS, acl_text
from guestrepair.guest.view import Stat
from guestrepair.report.bundle import member_name
from guestrepair.report.data import ImageReport
from guestrepair.report.escape import json_text, valid_unicode
from guestrepair.report.times import utc

if TYPE_CHECKING:  # a report of another kind starts without it
    from guestrepair.disk import Image
    from guestrepair.disk.digests import ImageDigests

SCHEMA = "guestrepair.evidence/1"
FILES_SCHEMA = "guestrepair.evidence-files/1"
FOLDER = "files"
"""In which the guest's files lie."""
MAX_UNREAD = 1000
_DEFAULT_ACL = "system.posix_acl_default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Custody:
    """What only people know of an examination; empty where it was not said."""

    case_number: str = ""
    item_number: str = ""
    description: str = ""
    examiner: str = ""
    notes: str = ""
    acquired_at: str = ""


@dataclass(slots=True)
class Named:
    """One path that findings name; ``content`` is the file on this host that holds what was read of it.

    ``left_out`` says why a regular file's content is not there, ``unread`` what else could not be read.
    """

    path: str
    rules: set[str] = field(default_factory=set)
    stat: Stat | None = None
    target: str = ""
    attributes: Mapping[str, bytes] = field(default_factory=dict)
    content: Path | None = None
    sha256: str = ""
    times_ns: dict[str, int] = field(default_factory=dict)
    """By plaso's words for each, as the timeline tells them."""
    left_out: str = ""
    unread: str = ""


@dataclass(slots=True)
class Collected:
    """What was taken of the guest: the files that findings name, and the timeline in a file of this host."""

    named: list[Named] = field(default_factory=list)
    timeline: Path | None = None
    events: int = 0
    unread: list[Unread] = field(default_factory=list)
    unread_count: int = 0
    masked: bool = True
    """Whether secrets in the timeline and the report are."""

    def note(self, lost: Unread) -> None:
        """Something that could not be read."""
        self.unread_count += 1
        if len(self.unread) < MAX_UNREAD:
            self.unread.append(lost)


def evidence_text(fields: Mapping[str, Any]) -> bytes:
    """``evidence.json``."""
    return json_text({"schema": SCHEMA, **fields}).encode()


def files_text(files: Sequence[Named]) -> bytes:
    """``metadata.json``."""
    return json_text({"schema": FILES_SCHEMA, "files": [file_fields(each) for each in files]}).encode()


def _named(path: str) -> dict[str, Any]:
    """A guest's path: as text, and its bytes where it is none."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raw = path.encode("utf-8", "surrogateescape")
        return {"path": valid_unicode(path), "path_hex": raw.hex()}
    return {"path": path}


def file_fields(each: Named) -> dict[str, Any]:
    """One entry of metadata.json."""
    fields: dict[str, Any] = {
        **_named(each.path),
        "rules": sorted(each.rules),
        "there": each.stat is not None,
    }
    if each.unread:
        fields |= {"unread": each.unread, "there": None if each.stat is None else True}
    if each.stat is None:
        return fields
    found = each.stat
    fields |= {
        "type": _kind(found),
        "mode": f"{found.permissions:04o}",
        "uid": found.uid,
        "gid": found.gid,
        "size_bytes": found.size_bytes,
        "inode": found.inode,
        "links": found.links,
        "mtime": found.mtime,
        "ctime": found.ctime,
        "times": {words: _time(each.times_ns[words]) for words in sorted(each.times_ns)},
        "xattrs": {name: each.attributes[name].hex() for name in sorted(each.attributes)},
    }
    fields |= _lists(each.attributes)
    if each.target:
        fields["target"] = _named(each.target)
    if each.content is not None:
        fields |= {"member": member_name(FOLDER, each.path), "sha256": each.sha256}
    if each.left_out:
        fields["left_out"] = each.left_out
    return fields


def _time(time_ns: int) -> dict[str, Any]:
    return {"utc": utc(time_ns), "ns": time_ns}


def _lists(attributes: Mapping[str, bytes]) -> dict[str, str]:
    """Access lists as text; what is none is among the attributes all the same."""
    shown = {}
    for name, attribute in (("acl", ACL_ACCESS), ("default_acl", _DEFAULT_ACL)):
        if attribute in attributes:
            try:
                shown[name] = acl_text(attributes[attribute])
            except FormatError as error:
                shown[name] = error.message
    return shown


def fields_of(
    images: Sequence[Image],
    before: Sequence[ImageDigests],
    after: Sequence[ImageDigests],
    custody: Custody,
    said: Mapping[str, Any],
    report: ImageReport,
    taken: Collected,
) -> dict[str, Any]:
    """All of evidence.json."""
    left_out = [{**_named(e.path), "reason": e.left_out} for e in taken.named if e.left_out]
    return {
        "case_number": custody.case_number,
        "item_number": custody.item_number,
        "description": custody.description,
        "examiner": {"name": custody.examiner},
        "notes": custody.notes,
        "acquisition": {
            "method": "read through a throw-away overlay; nothing was written to the image",
            "tool": "guestrepair",
            "version": __version__,
            "options": dict(said),
            "host": _host(),
            **({"time": custody.acquired_at} if custody.acquired_at else {}),
        },
        "source": [_source(*each) for each in zip(images, before, after, strict=True)],
        "unchanged": list(before) == list(after),
        "read_errors": [
            {"of": bad.of, "offset": bad.offset, "length": bad.length, "reason": bad.reason}
            for each in before
            for bad in each.bad
        ],
        "examined": report.analyzed and not report.errors and not report.inconclusive,
        "files": {"taken": sum(e.content is not None for e in taken.named), "left_out": left_out},
        "timeline": {
            "events": taken.events,
            "secrets_masked": taken.masked,
            "unread_count": taken.unread_count,
            "unread": _unread(taken),
        },
    }


def _unread(taken: Collected) -> list[dict[str, str]]:
    said = [{"source": lost.source, "reason": lost.reason} for lost in taken.unread]
    return masked_document(said) if taken.masked else said


def _source(image: Image, before: ImageDigests, after: ImageDigests) -> dict[str, Any]:
    """An image, its chain, and the digests."""
    first = {each.path: each for each in before.stored}
    last = {each.path: each for each in after.stored}

    def files(number: int) -> list[ImageName]:
        return (
            [image.path]
            if isinstance(image.path, Location)
            else list(dict.fromkeys(image.layers[number].files))
        )

    def stored(file: ImageName) -> dict[str, Any]:
        return {
            "path": str(file),
            "size_bytes": first[file].size_bytes,
            "sha256_before": first[file].sha256,
            "sha256_after": last[file].sha256,
        }

    return {
        "path": str(image.path),
        "format": image.format.value,
        "size_bytes": image.virtual_size_bytes,
        "backing_chain": [
            {"format": layer.format.value, "files": [stored(file) for file in files(number)]}
            for number, layer in enumerate(image.layers)
        ],
        "guest_visible": {
            "size_bytes": before.visible_bytes,
            "sha256_before": before.visible_sha256,
            "sha256_after": after.visible_sha256,
        },
    }


def _host() -> dict[str, str]:
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        system = ""
    return {
        "name": platform.node(),
        "os": system,
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def _kind(found: Stat) -> str:
    """What a path is, in a word or two."""
    names = {
        stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symbolic link",
        stat.S_IFCHR: "character device", stat.S_IFBLK: "block device", stat.S_IFIFO: "FIFO",
        stat.S_IFSOCK: "socket",
    }  # fmt: skip
    return names.get(stat.S_IFMT(found.mode), "unknown")
