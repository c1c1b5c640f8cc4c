"""Reads package files (.deb, .rpm, .apk, .pkg.tar.*); runs as a process of its own, with limits.

A package file may come from the guest's cache and be made to exhaust memory, or to break what
reads it, so this is started by ``child_start.py`` with limits and without rights, takes one JSON request
on stdin and writes one JSON object a line, the last one ``{"end": COUNT}``. It opens no file of this host:
all it is given are numbers of open files, the packages to read, one for itself to put
aside what zstd is to unpack (``scratch``), and one that takes the members' content (``spool``). It imports
nothing of guestrepair.

Requests: ``{"do": "identify", "files": […], "scratch": …}``; ``{"do": "extract", "file": …, "wanted": […],
"scratch": …, "spool": …}``, where ``wanted`` null asks for the attributes of every member, and ``spool`` null
for no content. A member's content is answered as where it stands in the spool: offset and size.

Sources: deb(5); rpm's Python bindings (``rpm.files``, archives); apk's and pacman's packages are tar
archives with a ``.PKGINFO`` in front (apk-package(5), PKGBUILD(5)).
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

UNPACKED_BYTES = 16 * 1024**3
_CHUNK_BYTES = 1024 * 1024
_CONTROL_BYTES = 1024 * 1024
_MAGICS = ((b"\x1f\x8b", "gz"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zst"), (b"BZh", "bz2"))

Member = dict[str, Any]


class PackageError(Exception):
    """The file is no package that can be read."""


class Files:
    """The open files of the request, by their numbers."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._scratch: int = request["scratch"]
        self._spool: int | None = request.get("spool")
        self._stored = 0

    @property
    def keep_content(self) -> bool:
        """True when members' content is asked for."""
        return self._spool is not None

    @contextmanager
    def scratch(self) -> Iterator[IO[bytes]]:
        """An empty file to write to and read again; of one at a time."""
        os.ftruncate(self._scratch, 0)
        with os.fdopen(self._scratch, "r+b", closefd=False) as file:
            file.seek(0)
            yield file

    def stored(self, stream: IO[bytes] | RpmStream) -> list[int]:
        """Put a stream's content at the end of the spool; the answer is where: offset and size."""
        assert self._spool is not None  # noqa: S101 - only called where content is kept
        offset = self._stored
        while piece := stream.read(_CHUNK_BYTES):
            while piece:
                written = os.pwrite(self._spool, piece, self._stored)
                self._stored += written
                piece = piece[written:]
        return [offset, self._stored - offset]


def opened(number: int) -> IO[bytes]:
    """An open file of the request from its beginning; at most one reader of it at a time."""
    os.lseek(number, 0, os.SEEK_SET)
    return os.fdopen(number, "rb", closefd=False)


class Limited:
    """A stream that ends in an error once it has given more bytes than any package holds."""

    def __init__(self, stream: IO[bytes], limit_bytes: int = UNPACKED_BYTES) -> None:
        self._stream = stream
        self._left = limit_bytes

    def read(self, size: int = -1) -> bytes:
        """As a file's read."""
        data = self._stream.read(_CHUNK_BYTES if size < 0 else size)
        self._left -= len(data)
        if self._left < 0:
            raise PackageError("unpacks to more bytes than any package holds")
        return data


class Section:
    """A part of an open file as a file of its own."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        self._file, self._at, self._end = file, offset, offset + size

    def read(self, size: int = -1) -> bytes:
        """As a file's read."""
        left = self._end - self._at
        self._file.seek(self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


@contextmanager
def decompressed(source: IO[bytes] | Section, head: bytes, files: Files) -> Iterator[Limited]:
    """The stream, unpacked by what its first bytes say; zstd by its own program."""
    kind = next((name for magic, name in _MAGICS if head.startswith(magic)), "")
    stream = cast("IO[bytes]", source)
    if kind == "gz":
        yield Limited(cast("IO[bytes]", gzip.GzipFile(fileobj=stream)))
    elif kind == "xz":
        yield Limited(cast("IO[bytes]", lzma.LZMAFile(stream)))  # noqa: SIM115 - the caller closes the file
    elif kind == "bz2":
        yield Limited(cast("IO[bytes]", bz2.BZ2File(stream)))
    elif kind == "zst":
        with files.scratch() as packed:
            while piece := source.read(_CHUNK_BYTES):
                packed.write(piece)
            packed.seek(0)
            with subprocess.Popen(["zstd", "-dcq"], stdin=packed, stdout=subprocess.PIPE) as child:
                assert child.stdout is not None  # noqa: S101 - a pipe was asked for
                try:
                    yield Limited(child.stdout)
                finally:
                    child.kill()
    else:
        yield Limited(stream)


def ar_members(file: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    """Name, offset and size of each member of an ar archive (deb(5))."""
    file.seek(0)
    if file.read(8) != b"!<arch>\n":
        raise PackageError("not an ar archive")
    offset = 8
    while len(header := file.read(60)) == 60:
        size_text = header[48:58].strip()
        if header[58:] != b"`\n" or not size_text.isdigit():
            raise PackageError("a damaged ar header")
        size = int(size_text)
        yield header[:16].decode("ascii", "replace").strip().rstrip("/"), offset + 60, size
        offset += 60 + size + size % 2
        file.seek(offset)


@contextmanager
def tar_of(package: int, part: str, files: Files) -> Iterator[tarfile.TarFile]:
    """The tar archive of a package: ``part`` is ``control`` or ``data`` (the same one but for .deb)."""
    with opened(package) as file:
        source: IO[bytes] | Section = file
        offset = 0
        if file.read(8) == b"!<arch>\n":
            wanted = [(o, s) for name, o, s in ar_members(file) if name.startswith(f"{part}.tar")]
            if not wanted:
                raise PackageError(f"no {part}.tar in it")
            offset, size = wanted[0]
            source = Section(file, offset, size)
        file.seek(offset)
        head = file.read(8)
        file.seek(0)
        with (
            decompressed(source, head, files) as stream,
            tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive,  # type: ignore[call-overload]
        ):
            yield archive


def absolute(name: str) -> str:
    """The path that a member is unpacked to."""
    return "/" + "/".join(part for part in name.split("/") if part not in {"", "."})


# --- identify ----------------------------------------------------------------


def identify(package: int, files: Files) -> Member:
    """Name, version and architecture of a package file."""
    with opened(package) as file:
        head = file.read(8)
    if head[:4] == b"\xed\xab\xee\xdb":
        header = rpm_header(package)
        return {"name": header["name"], "version": header["evr"], "arch": header["arch"] or ""}
    if head == b"!<arch>\n":
        fields = control_fields(control_text(package, "control", files), ":")
        return {
            "name": fields.get("package"),
            "version": fields.get("version"),
            "arch": fields.get("architecture"),
        }
    fields = control_fields(control_text(package, ".PKGINFO", files), "=")
    return {"name": fields.get("pkgname"), "version": fields.get("pkgver"), "arch": fields.get("arch")}


def control_text(package: int, name: str, files: Files) -> str:
    """The package's control file; it stands among the first members."""
    with tar_of(package, "control", files) as archive:
        for count, member in enumerate(archive):
            if absolute(member.name) == f"/{name}" and member.isreg() and member.size < _CONTROL_BYTES:
                content = archive.extractfile(member)
                return "" if content is None else content.read().decode("utf-8", "replace")
            if count > 100:
                break
    raise PackageError(f"no {name} in it")


def control_fields(text: str, separator: str) -> dict[str, str]:
    """``Field: value`` or ``field = value`` lines."""
    pairs = (line.partition(separator) for line in text.splitlines() if not line.startswith((" ", "\t", "#")))
    return {name.strip().lower(): value.strip() for name, found, value in pairs if found}


# --- extract -----------------------------------------------------------------


def extract(package: int, wanted: frozenset[str] | None, files: Files) -> Iterator[Member]:
    """The wanted members, their content in the spool."""
    with opened(package) as file:
        is_rpm = file.read(4) == b"\xed\xab\xee\xdb"
    if is_rpm:
        yield from rpm_members(package, wanted, files)
        return
    hard_links: dict[str, list[Member]] = {}
    for found in tar_members(package, wanted, files):
        if "hard" in found:
            hard_links.setdefault(found["hard"], []).append(found)
        else:
            yield found
    # A hard link's content stands under another name, which may not have been asked for.
    for target in tar_members(package, frozenset(hard_links), files) if hard_links else ():
        for link in hard_links.get(target["path"], []):
            yield target | {"path": link["path"]}


def tar_members(package: int, wanted: frozenset[str] | None, files: Files) -> Iterator[Member]:
    """The wanted members of a tar archive, in its order."""
    with tar_of(package, "data", files) as archive:
        for member in archive:
            name = absolute(member.name)
            if wanted is not None and name not in wanted:
                continue
            found: Member = {
                "path": name, "kind": tar_kind(member), "mode": member.mode & 0o7777, "uid": member.uid,
                "gid": member.gid, "user": member.uname, "group": member.gname, "mtime": int(member.mtime),
                "size": member.size, "link": member.linkname if member.issym() else None,
            }  # fmt: skip
            capability = member.pax_headers.get("SCHILY.xattr.security.capability")
            if capability:
                found["capability"] = capability.encode("utf-8", "surrogateescape").hex()
            if member.islnk():
                found["hard"] = absolute(member.linkname)
            elif files.keep_content and member.isreg():
                stream = archive.extractfile(member)
                found["content"] = None if stream is None else files.stored(stream)
            yield found


def tar_kind(member: tarfile.TarInfo) -> str:
    """The kind, in the words of the package databases."""
    if member.issym():
        return "symlink"
    if member.isdir():
        return "directory"
    return "file" if member.isreg() or member.islnk() else "other"


# --- rpm, through its own library ----------------------------------------------


def rpm_header(package: int) -> Any:
    """The header of an .rpm; its digests are checked, signatures are not (the database's digests decide)."""
    import rpm

    transaction = rpm.TransactionSet("/")
    transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES)
    try:
        return transaction.hdrFromFdno(opened(package).fileno())
    except rpm.error as error:
        raise PackageError(f"not an rpm package: {error}") from error


def rpm_members(package: int, wanted: frozenset[str] | None, files: Files) -> Iterator[Member]:
    """The wanted files of an .rpm. Hard-linked files share the content that stands with the last of them."""
    import rpm

    header = rpm_header(package)
    listed = rpm.files(header)
    answer = {f.name: rpm_member(f) for f in listed if wanted is None or f.name in wanted}
    if files.keep_content and any(m["kind"] == "file" for m in answer.values()):
        contents = rpm_contents(package, header, listed, answer, files)
        for name, found in answer.items():
            if found["kind"] == "file":
                found["content"] = contents.get(name)
    yield from answer.values()


def rpm_member(found: Any) -> Member:
    """One file of the header."""
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
    return {
        "path": found.name, "kind": kinds.get(stat.S_IFMT(found.mode), "other"), "mode": found.mode & 0o7777,
        "uid": 0, "gid": 0, "user": found.user, "group": found.group, "mtime": found.mtime,
        "size": found.size, "link": found.linkto or None, "caps": found.caps or "",
    }  # fmt: skip


def rpm_contents(
    package: int, header: Any, listed: Any, wanted: dict[str, Member], files: Files
) -> dict[str, list[int]]:
    """Where in the spool each wanted file's content stands."""
    import rpm

    contents: dict[str, list[int]] = {}
    names = {f.name: f for f in listed}
    descriptor = opened(package).fileno()
    skip_header(descriptor)
    payload = rpm.fd(descriptor, "r", header["payloadcompressor"] or "gzip")
    archive = listed.archive(payload)
    for found in archive:
        if not archive.hascontent() or not stat.S_ISREG(found.mode):
            continue
        linked = {name for name in wanted if name == found.name or same_inode(names.get(name), found)}
        if not linked:
            continue
        stored_at = files.stored(RpmStream(archive, found.size))
        contents.update(dict.fromkeys(linked, stored_at))
    return contents


def skip_header(descriptor: int) -> None:
    """Leave the file's offset where the payload begins."""
    import rpm

    transaction = rpm.TransactionSet("/")
    transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES)
    transaction.hdrFromFdno(descriptor)


def same_inode(one: Any, other: Any) -> bool:
    """True for names of one hard-linked file."""
    return one is not None and one.inode == other.inode and other.nlink > 1


class RpmStream:
    """The content of the archive's current file as a stream."""

    def __init__(self, archive: Any, size: int) -> None:
        self._archive, self._left = archive, size

    def read(self, size: int = -1) -> bytes:
        """As a file's read."""
        size = self._left if size < 0 else min(size, self._left)
        data = bytes(self._archive.read(size)) if size else b""
        self._left -= len(data)
        return data


# --- the request ---------------------------------------------------------------


_FAILURES = (PackageError, tarfile.TarError, OSError, EOFError, lzma.LZMAError, MemoryError)


def answers(request: dict[str, Any]) -> Iterator[Member]:
    """One answer for each file asked about, or each member found."""
    files = Files(request)
    if request["do"] == "extract":
        wanted = None if request["wanted"] is None else frozenset(request["wanted"])
        try:
            yield from extract(request["file"], wanted, files)
        except _FAILURES as error:
            yield {"error": str(error)[:300]}
        return
    for number in request["files"]:
        try:
            yield {"file": number} | identify(number, files)
        except _FAILURES as error:
            yield {"file": number, "error": str(error)[:300]}


def main() -> int:
    """Answer the request on stdin."""
    count = 0
    for answer in answers(json.load(sys.stdin)):
        sys.stdout.write(json.dumps(answer) + "\n")
        count += 1
    sys.stdout.write(json.dumps({"end": count}) + "\n")
    sys.stdout.flush()
    return 0
