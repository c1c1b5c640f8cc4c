"""The databases of apk and pacman, which fit into memory as lists of files."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

from guestrepair.errors import FormatError
from guestrepair.formats.apkdb import ApkFile, parse_apk_installed
from guestrepair.formats.pacmandb import MtreeEntry, parse_desc, parse_mtree
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath, PackagedKind
from guestrepair.packages.aliases import forms
from guestrepair.packages.base import Damage, Package, PackageDatabase, PackagedFile

APK = GuestPath("/lib/apk/db/installed")
APK_USR = GuestPath("/usr/lib/apk/db/installed")
PACMAN = GuestPath("/var/lib/pacman/local")
_APK_LIMIT_BYTES = 256 * 1024 * 1024
_MTREE_LIMIT_BYTES = 64 * 1024 * 1024
_KINDS = {"file": PackagedKind.FILE, "dir": PackagedKind.DIRECTORY, "link": PackagedKind.SYMLINK}


class ListedDatabase(PackageDatabase):
    """A database whose files are held in a list for each package."""

    def __init__(
        self, package_format: str, files: Mapping[Package, Sequence[PackagedFile]], damage: Sequence[Damage]
    ) -> None:
        self.format = package_format
        self.packages = tuple(files)
        self.damage = tuple(damage)
        self._files = files

    def files(self) -> Iterator[PackagedFile]:
        """See :meth:`PackageDatabase.files`."""
        for listed in self._files.values():
            yield from listed

    def lookup(self, path: str) -> tuple[PackagedFile, ...]:
        """See :meth:`PackageDatabase.lookup`."""
        wanted = frozenset(forms(path))
        return tuple(file for file in self.files() if file.path in wanted)


def open_apk(guest: Guest) -> ListedDatabase:
    """Alpine's database.

    Raises:
        GuestReadError: it cannot be read.
        FormatError: it names no package.
    """
    path = APK if guest.exists(APK) else APK_USR
    packages, problems = parse_apk_installed(guest.read(path, limit_bytes=_APK_LIMIT_BYTES))
    if not packages:
        raise FormatError(f"{path} names no package", hint="restore it from a backup of the guest")
    files = {}
    for found in packages:
        package = Package(found.name, found.version, found.architecture)
        files[package] = [_apk_file(package, file) for file in found.files]
    return ListedDatabase("apk", files, [Damage(str(path), problem) for problem in problems])


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
        flags=frozenset({"config"}) if protected else frozenset(),
    )


def open_pacman(guest: Guest) -> ListedDatabase:
    """Arch's database; a directory without a usable desc or files is damage.

    Raises:
        GuestReadError: it cannot be read.
        FormatError: it names no package.
    """
    tree = guest.read_tree(PACMAN, exclude=("install", "changelog"))
    damage: list[Damage] = []
    files: dict[Package, list[PackagedFile]] = {}
    for directory in sorted({name.partition("/")[0] for name in tree if "/" in name}):
        desc = parse_desc(tree.get(f"{directory}/desc", b""))
        listed = parse_desc(tree.get(f"{directory}/files", b""))
        names = [desc.get(key, [""])[0] for key in ("NAME", "VERSION", "ARCH")]
        if not names[0] or not names[1] or f"{directory}/files" not in tree:
            hint = "reinstall the package in the running guest: pacman -S --overwrite '*' NAME"
            damage.append(Damage(f"{PACMAN}/{directory}", "has no usable desc or files", hint))
            continue
        package = Package(*names)
        mtree = parse_mtree(_inflate(tree.get(f"{directory}/mtree", b"")))
        backup = {"/" + line.split("\t")[0] for line in listed.get("BACKUP", [])}
        paths = ("/" + path for path in listed.get("FILES", []))
        files[package] = [_pacman_file(package, path, mtree, backup) for path in paths]
    if not files:
        raise FormatError(f"{PACMAN} names no package", hint="restore it from a backup of the guest")
    return ListedDatabase("pacman", files, damage)


def _pacman_file(
    package: Package, path: str, mtree: Mapping[str, MtreeEntry], backup: set[str]
) -> PackagedFile:
    name = path.rstrip("/")
    flags = frozenset({"config"}) if name in backup else frozenset()
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
        return data[:_MTREE_LIMIT_BYTES]
    try:
        return zlib.decompressobj(wbits=31).decompress(data, _MTREE_LIMIT_BYTES)
    except zlib.error:
        return b""
