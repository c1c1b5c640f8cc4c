"""Read /var/lib/dpkg of a guest in one bulk call, and make the most of what is left of a damaged one."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats import dpkg_lists
from guestrepair.formats.deb822 import Document, Stanza, parse_deb822
from guestrepair.formats.dpkg_config import PathFilter, is_config_name, parse_path_filter
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.packages.base import FLAGS, NO_DETAILS, WANTED, Damage, Details, Package, Unfinished
from guestrepair.packages.dpkg import DpkgDatabase, Installed

DIRECTORY = GuestPath("/var/lib/dpkg")
STATUS = DIRECTORY / "status"

_EXCLUDE = (
    "*.symbols", "*.shlibs", "*.triggers", "*.templates", "*.postinst", "*.preinst", "*.prerm", "*.postrm",
    "*.config", "*.conffiles", "available", "available-old", "status-old", "diversions-old",
    "statoverride-old", "lock", "lock-frontend",
)  # fmt: skip
FIELDS = frozenset(
    {
        "package",
        "status",
        "version",
        "architecture",
        "multi-arch",
        "conffiles",
        "essential",
        "priority",
        "source",
    }
)
HALF_INSTALLED = "half-installed"
_SETTLED = frozenset({"installed", "config-files", "not-installed"})
_WITH_FILES = frozenset(
    {HALF_INSTALLED, "unpacked", "half-configured", "triggers-awaited", "triggers-pending", "installed"}
)
_ALTERING = ("diversions", "statoverride")
"""Files in which the administrator says what is to be other than the packages have it."""
_T = TypeVar("_T")
STATUS_LIMIT_BYTES = 64 * 1024 * 1024
FILE_LIMIT_BYTES = 32 * 1024 * 1024
"""Bytes of one list of files, and of every other file of the database."""
TREE_LIMIT_BYTES = 160 * 1024 * 1024
"""Bytes of all of them."""

_MAX_DAMAGE = 1_000
_MAX_CONFIGURATIONS = 256
_BACKUPS = GuestPath("/var/backups")


def open_dpkg(guest: Guest) -> DpkgDatabase:
    """The database; parts that are missing or damaged are listed in its ``damage``.

    When the status file itself does not serve, the newest backup that does stands in for it.

    Raises:
        GuestReadError: the directory cannot be read at all.
        FormatError: it is gone, or neither the status file nor a backup of it can be used.
    """
    if not guest.is_directory(DIRECTORY):
        hint = "restore the directory from a backup of the guest"
        raise FormatError(f"{DIRECTORY} is missing: dpkg's database is gone", hint=hint)
    damage: list[Damage] = []
    tree = _read_tree(guest, damage)
    written = _journal(tree)
    entries = _status(guest, tree, damage, written)
    lists = _Lists(tree, damage)
    installed = [lists.installed(entry.stanza) for entry in entries if _has_files(entry.stanza)]
    if not installed:
        raise FormatError(f"{STATUS}: names no installed package", hint=_backup_hint(guest))
    lists.tell_of_the_rest()
    return DpkgDatabase(
        installed,
        diversions=_optional(tree, "diversions", dpkg_lists.parse_diversions, damage),
        overrides=_optional(tree, "statoverride", dpkg_lists.parse_statoverride, damage),
        path_filter=_path_filter(guest),
        damage=damage,
        unfinished=[found for entry in entries if (found := _unfinished(entry)) is not None],
        journal=[f"{DIRECTORY}/{name}" for name in written],
    )


def _read_tree(guest: Guest, damage: list[Damage]) -> Mapping[str, bytes]:
    try:
        return guest.read_tree(DIRECTORY, exclude=_EXCLUDE, limit_bytes=TREE_LIMIT_BYTES)
    except GuestReadError as error:
        if "more than" in error.reason:
            raise
        # One unreadable file fails the bulk call: then what can be read is read file by file.
        return _read_singly(guest, damage)


def _read_singly(guest: Guest, damage: list[Damage]) -> Mapping[str, bytes]:
    tree: dict[str, bytes] = {}
    wanted = [DIRECTORY / name for name in ("status", *_ALTERING)]
    info = DIRECTORY / "info"
    for pattern in ("*.list", "*.md5sums"):
        wanted += guest.glob(info, pattern)
    left = TREE_LIMIT_BYTES
    for path in wanted:
        try:
            content = guest.read_if_there(path, limit_bytes=min(left, STATUS_LIMIT_BYTES))
        except GuestReadError as error:
            if path.name in _ALTERING:
                raise  # without it, what was changed on purpose would look like damage
            damage.append(Damage(str(path), f"cannot be read: {error.reason}"))
            continue
        if content is not None:
            tree[str(path.relative_to(DIRECTORY))] = content
            left -= len(content)
    return tree


# --- the status file ---------------------------------------------------------


class _Entry(NamedTuple):
    """A stanza of the status, and the file that has it."""

    place: str
    stanza: Stanza


def _journal(tree: Mapping[str, bytes]) -> list[str]:
    """What dpkg has written since the status file; it is gone once dpkg ends as it should."""
    return sorted(name for name in tree if re.fullmatch(r"updates/[0-9]+", name))


def _status(
    guest: Guest, tree: Mapping[str, bytes], damage: list[Damage], journal: Sequence[str]
) -> Sequence[_Entry]:
    content = tree.get("status")
    if content is not None and len(content) > STATUS_LIMIT_BYTES:
        raise FormatError(f"{STATUS}: {len(content)} bytes, more than the {STATUS_LIMIT_BYTES} that are read")
    document = parse_deb822(content or b"", wanted=FIELDS)
    reason = _status_problem(content, document)
    stanzas = document.stanzas
    if reason:
        hint = _backup_hint(guest)
        damage.append(Damage(str(STATUS), reason, hint))
        if not _usable(document):
            stanzas = _from_backup(guest, reason)
    by_key = {_key(stanza): _Entry(str(STATUS), stanza) for stanza in stanzas}
    for name in journal:  # written since the status file: they stand until dpkg next runs
        written = parse_deb822(tree[name], wanted=FIELDS).stanzas
        by_key.update({_key(s): _Entry(f"{DIRECTORY}/{name}", s) for s in written})
    return tuple(by_key.values())


def _key(stanza: Stanza) -> tuple[str, str]:
    same = stanza.get("multi-arch") == "same"
    return stanza.get("package"), stanza.get("architecture") if same else ""


def _status_problem(content: bytes | None, document: Document) -> str:
    if content is None:
        return "is missing"
    if not content.strip(b"\0 \n"):
        return "is empty" if not content else "holds nothing but blanks or NUL bytes"
    if document.problems:
        first = document.problems[0]
        return f"line {first.line}: {first.reason}"
    for stanza in document.stanzas:
        for name in ("package", "status"):
            if not stanza.get(name):
                return f"line {stanza.line}: a package without the field {name.capitalize()}"
        if stanza.get("status").endswith(" installed") and not stanza.get("version"):
            return f"line {stanza.line}: {stanza.get('package')} has no version"
    return "" if _usable(document) else "names no installed package"


def _usable(document: Document) -> bool:
    return any(_has_files(stanza) for stanza in document.stanzas)


def _backups(guest: Guest) -> Iterable[GuestPath]:
    """status-old, then dpkg.status.0, .1.gz, … of /var/backups: from the newest to the oldest."""
    yield DIRECTORY / "status-old"
    names = guest.glob(_BACKUPS, "dpkg.status.*")

    def age(path: GuestPath) -> int:
        number = path.name.split(".")[2]
        return int(number) if number.isascii() and number.isdigit() and len(number) < 4 else 1000

    yield from sorted(names, key=age)


def _backup_hint(guest: Guest) -> str:
    there = [str(path) for path in _backups(guest) if (s := guest.stat(path)) is not None and s.size_bytes]
    if not there:
        return "no backup of it is left (status-old, /var/backups/dpkg.status.*)"
    return "copies that can be put in its place: " + ", ".join(there)


def _from_backup(guest: Guest, reason: str) -> list[Stanza]:
    for path in _backups(guest):
        try:
            content = guest.read_if_there(path, limit_bytes=STATUS_LIMIT_BYTES)
        except GuestReadError:
            continue
        if not content:
            continue
        document = parse_deb822(_inflate(content), wanted=FIELDS)
        if _usable(document):
            return document.stanzas
    raise FormatError(f"{STATUS} {reason}, and no backup of it can be used", hint=_backup_hint(guest))


def _inflate(content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(content)).read(STATUS_LIMIT_BYTES)
    except (OSError, EOFError, zlib.error):
        return b""


def _has_files(stanza: Stanza) -> bool:
    """Whether its files are to be there: not of one whose removal has begun."""
    wanted, flag, state = _words(stanza)
    if state == HALF_INSTALLED and wanted in {"deinstall", "purge"}:
        return False
    return bool(flag) and state in _WITH_FILES and bool(stanza.get("package"))


def _words(stanza: Stanza) -> tuple[str, str, str]:
    """What is wanted, the flag, and the state; without these three words, all as the state and no flag."""
    words = stanza.get("status").split()
    return (words[0], words[1], words[2]) if len(words) == 3 else ("", "", " ".join(words))


def _unfinished(entry: _Entry) -> Unfinished | None:
    wanted, flag, state = _words(entry.stanza)
    known = wanted.lower() in WANTED and flag.lower() in FLAGS
    if not entry.stanza.get("package") or (known and state in _SETTLED and "reinstreq" not in flag):
        return None
    stanza = entry.stanza
    package = Package(stanza.get("package"), stanza.get("version"), stanza.get("architecture"))
    return Unfinished(package, wanted, flag, state, entry.place, stanza.line)


# --- one package -------------------------------------------------------------


class _Lists:
    """The lists of files of all packages, and what is wrong with them."""

    def __init__(self, tree: Mapping[str, bytes], damage: list[Damage]) -> None:
        self._tree = tree
        self._damage = damage
        self._known = {d.path for d in damage}
        self._untold = 0

    def installed(self, stanza: Stanza) -> Installed:
        """One package with what the database has of its files."""
        details = Details(source=source) if (source := stanza.get("source")) else NO_DETAILS
        package = Package(stanza.get("package"), stanza.get("version"), stanza.get("architecture"), details)
        names = (f"{package.name}:{package.architecture}", package.name)
        if stanza.get("multi-arch") != "same":
            names = names[::-1]
        stem = next((name for name in names if f"info/{name}.list" in self._tree), names[0])
        return Installed(
            package,
            self._listing(package, stem, may_lack=_words(stanza)[2] == HALF_INSTALLED),
            self._md5sums(package, stem),
            self._conffiles(package, stanza),
            essential=stanza.get("essential") == "yes",
            priority=stanza.get("priority"),
        )

    def tell_of_the_rest(self) -> None:
        """One entry for all the damage that is too much to be listed."""
        if self._untold:
            self._damage.append(Damage(f"{DIRECTORY}/info", f"has {self._untold} more damaged files"))

    def _listing(self, package: Package, stem: str, *, may_lack: bool) -> bytes:
        path = f"info/{stem}.list"
        listing = self._tree.get(path)
        if listing is None and may_lack:  # dpkg writes it once all files are unpacked
            return b""
        problem = (
            "is missing" if listing is None else _size_problem(listing) or dpkg_lists.list_problem(listing)
        )
        if problem:
            lost = f"{problem}: dpkg no longer knows the files of {package.name}"
            hint = f"restore it from a backup, or reinstall {package.name} in the running guest"
            self._add(path, lost, hint)
        # What is cut off or empty in part still says something; what is too long is not read.
        return b"" if listing is None or _size_problem(listing) else listing

    def _md5sums(self, package: Package, stem: str) -> bytes:
        path = f"info/{stem}.md5sums"
        content = self._tree.get(path, b"")
        problem = _size_problem(content)
        if problem:
            self._add(path, f"{problem}: the content of {package.name} cannot be checked", "")
        return b"" if problem else content

    def _conffiles(self, package: Package, stanza: Stanza) -> Mapping[str, str]:
        try:
            return dpkg_lists.parse_conffiles(stanza.get("conffiles"))
        except FormatError as error:
            self._add("status", f"line {stanza.line}: {error.message} ({package.name})", "")
            return {}

    def _add(self, name: str, reason: str, hint: str) -> None:
        path = f"{DIRECTORY}/{name}"
        if path in self._known:
            return
        if len(self._damage) >= _MAX_DAMAGE:
            self._untold += 1
            return
        self._known.add(path)
        self._damage.append(Damage(path, reason, hint))


def _size_problem(content: bytes) -> str:
    if len(content) > FILE_LIMIT_BYTES:
        return f"holds {len(content)} bytes, more than the {FILE_LIMIT_BYTES} that are read"
    lines = content.count(b"\n")
    return (
        f"holds {lines} lines, more than the {dpkg_lists.MAX_PATHS} that are read"
        if lines > dpkg_lists.MAX_PATHS
        else ""
    )


def _optional(
    tree: Mapping[str, bytes], name: str, parse: Callable[[bytes], dict[str, _T]], damage: list[Damage]
) -> dict[str, _T]:
    """A file of the database that need not be there."""
    try:
        content = tree.get(name, b"")
        if len(content) > FILE_LIMIT_BYTES:
            raise FormatError(_size_problem(content))
        return parse(content)
    except FormatError as error:
        damage.append(Damage(f"{DIRECTORY}/{name}", error.message, f"compare it with {name}-old beside it"))
        return {}


def _path_filter(guest: Guest) -> PathFilter:
    """dpkg.cfg.d first (in C order), then dpkg.cfg, as dpkg loads them (dpkg(1), FILES)."""
    directory = GuestPath("/etc/dpkg/dpkg.cfg.d")
    paths = [p for p in guest.glob(directory, "*") if is_config_name(p.name)]
    # Of more files than anybody has, the last ones count, as of more patterns.
    paths = [*paths[-_MAX_CONFIGURATIONS:], GuestPath("/etc/dpkg/dpkg.cfg")]
    # One that cannot be read raises: what it excludes would be taken for missing.
    return parse_path_filter(guest.read_if_there(path) or b"" for path in paths)
