"""Reads package files (.deb, .rpm, .apk, .pkg.tar.*); runs as a process of its own, with limits.

A package file may come from the guest's cache and be made to exhaust memory, so
this file is started as a script (``python -I archive_child.py``), limits itself, takes one JSON request
on stdin and writes one JSON object a line, the last one ``{"end": COUNT}``.
Nothing is written but numbered files in the work directory: paths of a package
never name a file of this host. It imports nothing of guestrepair.

Requests: ``{"do": "identify", "files": […]}``; ``{"do": "extract", "file": …, "wanted": […], "workdir": …,
"content": true}``, where ``wanted`` null asks for the attributes of every member.

Sources: deb(5); rpm's Python bindings (``rpm.files``, archives); apk's and pacman's packages are tar
archives with a ``.PKGINFO`` in front (apk-package(5), PKGBUILD(5)).
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import resource
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

ADDRESS_SPACE_BYTES = 2 * 1024**3
CPU_SECONDS = 600
FILE_BYTES = 4 * 1024**3
UNPACKED_BYTES = 16 * 1024**3
_CHUNK_BYTES = 1024 * 1024
_CONTROL_BYTES = 1024 * 1024
_MAGICS = ((b"\x1f\x8b", "gz"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zst"), (b"BZh", "bz2"))

Member = dict[str, Any]


class PackageError(Exception):
    """The file is no package that can be read."""


def limit_self() -> None:
    """No more memory, processor time or written bytes than unpacking can need."""
    for what, value in (
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
    ):
        resource.setrlimit(what, (value, value))


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
def decompressed(source: IO[bytes] | Section, head: bytes) -> Iterator[Limited]:
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
        with tempfile.TemporaryFile() as packed:
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
def tar_of(path: Path, part: str) -> Iterator[tarfile.TarFile]:
    """The tar archive of a package: ``part`` is ``control`` or ``data`` (the same one but for .deb)."""
    with path.open("rb") as file:
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
            decompressed(source, head) as stream,
            tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as archive,  # type: ignore[call-overload]
        ):
            yield archive


def absolute(name: str) -> str:
    """The path that a member is unpacked to."""
    return "/" + "/".join(part for part in name.split("/") if part not in {"", "."})


# --- identify ----------------------------------------------------------------


def identify(path: Path) -> Member:
    """Name, version and architecture of a package file."""
    with path.open("rb") as file:
        head = file.read(8)
    if head[:4] == b"\xed\xab\xee\xdb":
        header = rpm_header(path)
        return {"name": header["name"], "version": header["evr"], "arch": header["arch"] or ""}
    if head == b"!<arch>\n":
        fields = control_fields(control_text(path, "control"), ":")
        return {
            "name": fields.get("package"),
            "version": fields.get("version"),
            "arch": fields.get("architecture"),
        }
    fields = control_fields(control_text(path, ".PKGINFO"), "=")
    return {"name": fields.get("pkgname"), "version": fields.get("pkgver"), "arch": fields.get("arch")}


def control_text(path: Path, name: str) -> str:
    """The package's control file; it stands among the first members."""
    with tar_of(path, "control") as archive:
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


def extract(path: Path, wanted: frozenset[str] | None, workdir: Path, *, content: bool) -> Iterator[Member]:
    """The wanted members, with their content in files of the work directory."""
    with path.open("rb") as file:
        is_rpm = file.read(4) == b"\xed\xab\xee\xdb"
    if is_rpm:
        yield from rpm_members(path, wanted, workdir, content=content)
        return
    hard_links: dict[str, list[Member]] = {}
    for found in tar_members(path, wanted, workdir, content=content):
        if "hard" in found:
            hard_links.setdefault(found["hard"], []).append(found)
        else:
            yield found
    # A hard link's content stands under another name, which may not have been asked for.
    for target in tar_members(path, frozenset(hard_links), workdir, content=content) if hard_links else ():
        for link in hard_links.get(target["path"], []):
            yield target | {"path": link["path"]}


def tar_members(
    path: Path, wanted: frozenset[str] | None, workdir: Path, *, content: bool
) -> Iterator[Member]:
    """The wanted members of a tar archive, in its order."""
    with tar_of(path, "data") as archive:
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
            elif content and member.isreg():
                stream = archive.extractfile(member)
                found["content"] = None if stream is None else stored(stream, workdir)
            yield found


def tar_kind(member: tarfile.TarInfo) -> str:
    """The kind, in the words of the package databases."""
    if member.issym():
        return "symlink"
    if member.isdir():
        return "directory"
    return "file" if member.isreg() or member.islnk() else "other"


def stored(stream: IO[bytes] | RpmStream, workdir: Path) -> str:
    """Copy a stream into a new file of the work directory; the answer is its name."""
    descriptor, name = tempfile.mkstemp(prefix="file-", dir=workdir)
    with os.fdopen(descriptor, "wb") as out:
        while piece := stream.read(_CHUNK_BYTES):
            out.write(piece)
    return Path(name).name


# --- rpm, through its own library ----------------------------------------------


def rpm_header(path: Path) -> Any:
    """The header of an .rpm; its digests are checked, signatures are not (the database's digests decide)."""
    import rpm

    transaction = rpm.TransactionSet("/")
    transaction.setVSFlags(rpm.RPMVSF_MASK_NOSIGNATURES)
    with path.open("rb") as file:
        try:
            return transaction.hdrFromFdno(file.fileno())
        except rpm.error as error:
            raise PackageError(f"not an rpm package: {error}") from error


def rpm_members(
    path: Path, wanted: frozenset[str] | None, workdir: Path, *, content: bool
) -> Iterator[Member]:
    """The wanted files of an .rpm. Hard-linked files share the content that stands with the last of them."""
    import rpm

    header = rpm_header(path)
    files = rpm.files(header)
    answer = {f.name: rpm_member(f) for f in files if wanted is None or f.name in wanted}
    if content and any(m["kind"] == "file" for m in answer.values()):
        contents = rpm_contents(path, header, files, answer, workdir)
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
    path: Path, header: Any, files: Any, wanted: dict[str, Member], workdir: Path
) -> dict[str, str]:
    """Names of the files in the work directory that hold each wanted file's content."""
    import rpm

    contents: dict[str, str] = {}
    names = {f.name: f for f in files}
    with path.open("rb") as file:
        skip_header(file.fileno())
        payload = rpm.fd(file.fileno(), "r", header["payloadcompressor"] or "gzip")
        archive = files.archive(payload)
        for found in archive:
            if not archive.hascontent() or not stat.S_ISREG(found.mode):
                continue
            linked = {name for name in wanted if name == found.name or same_inode(names.get(name), found)}
            if not linked:
                continue
            stored_as = stored(RpmStream(archive, found.size), workdir)
            contents.update(dict.fromkeys(linked, stored_as))
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


def answers(request: dict[str, Any]) -> Iterator[Member]:
    """One answer for each file asked about, or each member found."""
    if request["do"] == "extract":
        wanted = None if request["wanted"] is None else frozenset(request["wanted"])
        try:
            yield from extract(
                Path(request["file"]), wanted, Path(request["workdir"]), content=request["content"]
            )
        except (PackageError, tarfile.TarError, OSError, EOFError, lzma.LZMAError, MemoryError) as error:
            yield {"error": str(error)[:300]}
        return
    for name in request["files"]:
        try:
            yield {"file": name} | identify(Path(name))
        except (PackageError, tarfile.TarError, OSError, EOFError, lzma.LZMAError, MemoryError) as error:
            yield {"file": name, "error": str(error)[:300]}


def main() -> int:
    """Answer the request on stdin."""
    limit_self()
    count = 0
    for answer in answers(json.load(sys.stdin)):
        sys.stdout.write(json.dumps(answer) + "\n")
        count += 1
    sys.stdout.write(json.dumps({"end": count}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
