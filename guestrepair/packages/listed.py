"""The databases of apk and pacman, whose text lists the files of each package.

The text is kept as it is and taken apart on demand: of a guest with many files, and of one that was
made to fill the memory, no more than one package's files are held at a time.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

from guestrepair.errors import FormatError
from guestrepair.formats.apkdb import ApkFile, ApkPackage, parse_apk_installed
from guestrepair.formats.pacmandb import MtreeEntry, check_lines, parse_desc, parse_mtree
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath, PackagedKind
from guestrepair.packages.base import Damage, Details, Flag, Package, PackagedFile
from guestrepair.packages.indexed import IndexedDatabase

APK = GuestPath("/lib/apk/db/installed")
APK_USR = GuestPath("/usr/lib/apk/db/installed")
PACMAN = GuestPath("/var/lib/pacman/local")
APK_LIMIT_BYTES = 64 * 1024 * 1024
TREE_LIMIT_BYTES = 128 * 1024 * 1024
DESC_LIMIT_BYTES = 32 * 1024 * 1024
MTREE_LIMIT_BYTES = 64 * 1024 * 1024
MTREE_TOTAL_BYTES = 256 * 1024 * 1024
"""Bytes of unpacked mtree that are read, of one package and of all: several times a large system's."""

KEPT_LINES = 120_000
"""Lines of a database whose files are kept in memory; some 40 MB."""

_KINDS = {"file": PackagedKind.FILE, "dir": PackagedKind.DIRECTORY, "link": PackagedKind.SYMLINK}


@dataclass(frozen=True, slots=True)
class Listing:
    """One package: the text that names its paths, and how its files are made from it."""

    package: Package
    text: bytes
    files: Callable[[], Iterable[PackagedFile]]


class ListedDatabase(IndexedDatabase):
    """A database that has a text for each package."""

    def __init__(self, package_format: str, listings: Sequence[Listing], damage: Sequence[Damage]) -> None:
        self.format = package_format
        self.packages = tuple(listing.package for listing in listings)
        self.damage = tuple(damage)
        self._listings = listings

    def _files_of(self, number: int) -> Iterable[PackagedFile]:
        return self._listings[number].files()

    @cached_property
    def are_few(self) -> bool:
        """See :attr:`PackageDatabase.are_few`."""
        return sum(listing.text.count(b"\n") for listing in self._listings) <= KEPT_LINES


# --- apk ---------------------------------------------------------------------------


def open_apk(guest: Guest) -> ListedDatabase:
    """Alpine's database.

    Raises:
        GuestReadError: it cannot be read, or is larger than any real one.
        FormatError: it names no package, or more than any system has.
    """
    path = APK if guest.exists(APK) else APK_USR
    packages, problems = parse_apk_installed(guest.read(path, limit_bytes=APK_LIMIT_BYTES))
    if not packages:
        raise FormatError(f"{path} names no package", hint="restore it from a backup of the guest")
    listings = {}
    for found in packages:
        details = Details(found.license, found.origin, found.digest)
        package = Package(found.name, found.version, found.architecture, details)
        listings[package] = Listing(package, found.lines, partial(_apk_files, package, found))
    damage = [Damage(str(path), problem) for problem in problems]
    return ListedDatabase("apk", tuple(listings.values()), damage)


def _apk_files(package: Package, listed: ApkPackage) -> Iterator[PackagedFile]:
    return (_apk_file(package, file) for file in listed.files)


def _apk_file(package: Package, file: ApkFile) -> PackagedFile:
    """Links are listed as files whose checksum is that of their target.

    apk itself leaves files below its protected paths (/etc) to the administrator.
    """
    protected = file.path.startswith("/etc/") and not file.is_directory
    # The database leaves out what apk's default is (apk_default_acl_file): root:root, 0644.
    mode = 0o644 if file.mode is None else file.mode
    return PackagedFile(
        file.path,
        PackagedKind.DIRECTORY if file.is_directory else PackagedKind.OTHER,
        package,
        digest="" if file.is_directory else file.digest,
        mode=mode,
        owner=str(file.uid),
        group=str(file.gid),
        flags=frozenset({Flag.CONFIG}) if protected else frozenset(),
    )


# --- pacman ------------------------------------------------------------------------


def open_pacman(guest: Guest) -> ListedDatabase:
    """Arch's database; a directory without a usable desc or files is damage.

    Raises:
        GuestReadError: it cannot be read, or is larger than any real one.
        FormatError: it names no package.
    """
    tree = guest.read_tree(PACMAN, exclude=("install", "changelog"), limit_bytes=TREE_LIMIT_BYTES)
    damage: list[Damage] = []
    listings: dict[Package, Listing] = {}
    mtrees = _Mtrees(tree)
    for directory in sorted({name.partition("/")[0] for name in tree if "/" in name}):
        package = _pacman_package(tree, directory)
        if package is None:
            hint = "reinstall the package in the running guest: pacman -S --overwrite '*' NAME"
            damage.append(Damage(f"{PACMAN}/{directory}", "has no usable desc or files", hint))
            continue
        if problem := mtrees.problem(directory):
            damage.append(Damage(f"{PACMAN}/{directory}/mtree", problem))
        text = tree[f"{directory}/files"]
        listings[package] = Listing(package, text, partial(_pacman_files, package, text, mtrees, directory))
    if not listings:
        raise FormatError(f"{PACMAN} names no package", hint="restore it from a backup of the guest")
    return ListedDatabase("pacman", tuple(listings.values()), damage)


def _pacman_package(tree: Mapping[str, bytes], directory: str) -> Package | None:
    """The package of a directory; None where its desc or files cannot be used."""
    files = tree.get(f"{directory}/files")
    desc = tree.get(f"{directory}/desc", b"")
    if files is None or max(len(files), len(desc)) > DESC_LIMIT_BYTES:
        return None
    try:
        check_lines(files)
        fields = parse_desc(desc)
    except FormatError:
        return None
    name, version, architecture, base = (
        (fields.get(key) or [""])[0] for key in ("NAME", "VERSION", "ARCH", "BASE")
    )
    details = Details(", ".join(fields.get("LICENSE", ())), base)
    return Package(name, version, architecture, details) if name and version else None


class _Mtrees:
    """The mtree of each package, unpacked when it is asked for, as far as their bytes in all allow."""

    def __init__(self, tree: Mapping[str, bytes]) -> None:
        self._tree = tree
        self._refused: set[str] = set()
        self._left = MTREE_TOTAL_BYTES

    def problem(self, directory: str) -> str:
        """Why the mtree of this package is not used; "" when it is, or when there is none."""
        data = self._unpacked(directory)
        self._left -= len(data)
        try:
            if self._left < 0:
                raise FormatError(
                    f"more than {MTREE_TOTAL_BYTES} bytes in all, not all of them were looked at"
                )
            check_lines(data)
        except FormatError as error:
            self._refused.add(directory)
            return f"was not read: {error.message}"
        return ""

    def entries(self, directory: str) -> Mapping[str, MtreeEntry]:
        """What it says; nothing where it is not used."""
        return {} if directory in self._refused else parse_mtree(self._unpacked(directory))

    def _unpacked(self, directory: str) -> bytes:
        return _inflate(self._tree.get(f"{directory}/mtree", b""))


def _pacman_files(package: Package, text: bytes, mtrees: _Mtrees, directory: str) -> Iterator[PackagedFile]:
    listed = parse_desc(text)
    mtree = mtrees.entries(directory)
    backup = {"/" + line.split("\t")[0] for line in listed.get("BACKUP", [])}
    return (_pacman_file(package, "/" + path, mtree, backup) for path in listed.get("FILES", []))


def _pacman_file(
    package: Package, path: str, mtree: Mapping[str, MtreeEntry], backup: set[str]
) -> PackagedFile:
    name = path.rstrip("/")
    flags = frozenset({Flag.CONFIG}) if name in backup else frozenset()
    entry = mtree.get(name)
    if entry is None:
        kind = PackagedKind.DIRECTORY if path.endswith("/") else PackagedKind.OTHER
        return PackagedFile(name, kind, package, flags=flags)
    kind = _KINDS.get(entry.type, PackagedKind.OTHER)
    is_file = kind is PackagedKind.FILE
    return PackagedFile(
        name,
        kind,
        package,
        digest=entry.digest if is_file else "",
        size_bytes=entry.size_bytes if is_file else None,
        mode=None if entry.mode is None else entry.mode & 0o7777,
        owner=None if entry.uid is None else str(entry.uid),
        group=None if entry.gid is None else str(entry.gid),
        link_target=entry.link if kind is PackagedKind.SYMLINK else None,
        flags=flags,
        mtime=entry.mtime,
    )


def _inflate(data: bytes) -> bytes:
    """The content of a gzip file, as far as the limit; what cannot be unpacked says nothing."""
    if not data.startswith(b"\x1f\x8b"):
        return data[:MTREE_LIMIT_BYTES]
    try:
        return zlib.decompressobj(wbits=31).decompress(data, MTREE_LIMIT_BYTES)
    except zlib.error:
        return b""
