"""What is read of a guest's mounts: fstab, crypttab, mount units, older copies, the homes of its users.

A table is taken as it must be meant: as plain text where it is UTF-16 or has NUL bytes, each line that can be
read in one way read so (:mod:`guestrepair.system.mounts.normalize`), with what that changes beside it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import islice

from guestrepair.formats import crypttab, fstab
from guestrepair.formats.crypttab import CryptEntry
from guestrepair.formats.fstab import Entry, Fstab, reread
from guestrepair.formats.systemd_unit import parse_unit
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.account_files import AccountFiles
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.fact import Unreadable, attempt, fact, known
from guestrepair.system.mounts.disks import GuestDisks
from guestrepair.system.mounts.encoding import PlainText, plain_text
from guestrepair.system.mounts.normalize import Reading, readings
from guestrepair.system.mounts.sources import classify, find
from guestrepair.system.mounts.spec import Spec, from_entry, from_units
from guestrepair.system.mounts.units import OwnUnit, own_units
from guestrepair.system.strange import Strange
from guestrepair.system.systemd import OWN, UNIT_DIRECTORIES, Systemd, chosen_files

FSTAB = GuestPath("/etc/fstab")
CRYPTTAB = GuestPath("/etc/crypttab")
_REMOUNT = "systemd-remount-fs.service"

SWAP = "\0swap"
"""In the place of a mount point, which holds no such byte."""

_BACKUP = re.compile(r"(fstab[.~_-].*|\.fstab\..*|fstab-|fstab~|fstab\d+)\Z")
_MAX_BACKUPS = 16
_BACKUP_BYTES = 256 * 1024
PATH_MAX = 4096
FIRST_PERSON = 500


class MountFacts(GuestDisks):
    """The tables of one guest, and what else says what they mean."""

    def __init__(self, guest: Guest, systemd: Systemd, boot: BootLoader, accounts: AccountFiles) -> None:
        super().__init__(guest)
        self._accounts = accounts
        self._systemd = systemd
        self.boot = boot
        self._below: dict[str, frozenset[str]] = {}

    # --- fstab -----------------------------------------------------------------------

    @fact
    def is_a_directory(self) -> bool:
        """True when a directory lies where the table belongs."""
        return self._guest.is_directory(FSTAB)

    @fact
    def data(self) -> bytes | None:
        """The bytes of /etc/fstab; None when there is no such file."""
        return None if self.is_a_directory else self._guest.read_if_there(FSTAB)

    @fact
    def plain(self) -> PlainText | None:
        """What the file says as plain text, where it is none; None for plain text."""
        return None if self.data is None else plain_text(self.data)

    @fact
    def text(self) -> bytes:
        """The table as plain text: what all places in it count in; empty when there is none."""
        return self.plain.text if self.plain is not None else self.data or b""

    @fact
    def written(self) -> Fstab | None:
        """The table as it is written; None when there is none."""
        if self.data is None:
            return None
        return known(attempt(lambda: fstab.parse(self.text), FSTAB))

    @fact
    def readings(self) -> dict[int, Reading]:
        """What becomes of each line that does not parse, by its number."""
        return {} if self.written is None else readings(self, self.written)

    @fact
    def table(self) -> Fstab | None:
        """The table with each line that does not parse as it must be meant, or out of use."""
        if self.written is None:
            return None
        instead = {n: r.raw for n, r in self.readings.items() if r.raw is not None}
        return reread(self.written, instead) if instead else self.written

    @fact
    def specs(self) -> tuple[Spec, ...]:
        """All that is to be mounted: the lines of the table, then enabled units."""
        entries = self.table.entries if self.table is not None else ()
        lines = [from_entry(FSTAB, self.text, entry) for entry in entries]
        return (*lines, *(unit for unit in self._units if not isinstance(unit, Unreadable)))

    @fact
    def _units(self) -> tuple[Spec | Unreadable, ...]:
        return tuple(from_units(self._guest, self._systemd))

    @fact
    def own_units(self) -> tuple[OwnUnit | Unreadable, ...]:
        """The administrator's own mount, automount and swap units that something starts."""
        return tuple(own_units(self._guest, self._systemd))

    @fact
    def backups(self) -> tuple[tuple[GuestPath, Fstab], ...]:
        """Older copies beside the table, at most a few; one that cannot be read is no evidence."""
        folder = FSTAB.parent
        if not self.is_directory(folder):
            return ()
        names = sorted((n for n in self._guest.listdir(folder) if _BACKUP.match(n)), reverse=True)
        paths = [folder / name for name in names[:_MAX_BACKUPS]]
        found = [(path, attempt(partial(self._read_backup, path))) for path in paths]
        return tuple((path, t) for path, t in found if not isinstance(t, Unreadable) and t.entries)

    def _read_backup(self, path: GuestPath) -> Fstab:
        return fstab.parse(self._guest.read(path, limit_bytes=_BACKUP_BYTES))

    @fact
    def older_sources(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """(place, source) that older tables have, by mount point (or ``SWAP``) and the device they name.

        At most two different sources each: of two at least one is another than what is written now.
        """
        older: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        for path, table in self.backups:
            for entry in table.entries:
                self._note_older(older, f"{path}:{entry.number}", entry)
        return dict(older)

    def _note_older(
        self, older: dict[tuple[str, str], list[tuple[str, str]]], place: str, entry: Entry
    ) -> None:
        for device in find(classify(entry.source, entry.type), self.block, {}):
            # A swap line counts for swap by its type, and for what it calls its mount point as well.
            for name in {entry.target, SWAP} if entry.is_swap else {entry.target}:
                known_here = older[name, device.name]
                if len(known_here) < 2 and entry.source not in {text for _, text in known_here}:
                    known_here.append((place, entry.source))

    # --- crypttab ----------------------------------------------------------------------

    @fact
    def crypt_data(self) -> bytes:
        """The bytes of /etc/crypttab, empty when there is none."""
        return self._guest.read_if_there(CRYPTTAB) or b""

    @fact
    def crypt(self) -> tuple[CryptEntry, ...]:
        """Its lines."""
        return known(attempt(lambda: crypttab.parse(self.crypt_data), CRYPTTAB))

    @fact
    def strange_crypt(self) -> tuple[Strange, ...]:
        """Its lines that name no device."""
        what = "a line NAME DEVICE [KEY [OPTIONS]]"
        lines = crypttab.unread_lines(self.crypt_data)
        return tuple(Strange(CRYPTTAB, number, text, what) for number, text in lines)

    @fact
    def known_crypt(self) -> tuple[CryptEntry, ...] | None:
        """Its lines; None when it cannot be read, for who can do without."""
        found = attempt(lambda: self.crypt)
        return None if isinstance(found, Unreadable) else found

    # --- what else knows ------------------------------------------------------------------

    @fact
    def homes(self) -> tuple[tuple[str, bool], ...]:
        """The homes of persons and services as far as they can be read; true for a service's."""
        found = attempt(lambda: self._accounts.passwd)
        entries = () if found is None or isinstance(found, Unreadable) else found.parsed.entries
        return tuple((str(e.home), e.uid < FIRST_PERSON) for e in entries if str(e.home).startswith("/"))

    @fact
    def boot_roots(self) -> dict[str, tuple[str, str]]:
        """(place, value) of the first command line whose root= means a device, by the device's name."""
        return self._named_by_boot("root", "")

    @fact
    def boot_resumes(self) -> dict[str, tuple[str, str]]:
        """The same of resume=."""
        return self._named_by_boot("resume", "swap")

    def _named_by_boot(self, parameter: str, fs_type: str) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for line in self.boot.lines:
            value = line.cmdline.get(parameter)
            for device in find(classify(value, fs_type), self.block, {}) if value else ():
                found.setdefault(device.name, (line.place, value or ""))
        return found

    @fact
    def unit_mounts_root(self) -> bool:
        """True when a mount unit for ``/``, or a drop-in of systemd-remount-fs, mounts it for writing.

        Source: $SYSTEMD_REMOUNT_ROOT_RW in ENVIRONMENT.md of systemd.
        """
        if self._guest.exists(OWN / "-.mount"):
            return True
        folders = [directory / f"{_REMOUNT}.d" for directory in UNIT_DIRECTORIES]
        for path in chosen_files(self._guest, folders, ".conf"):
            unit = known(attempt(partial(parse_unit, self._guest.read(path)), path))
            if "SYSTEMD_REMOUNT_ROOT_RW=1" in unit.words("Service", "Environment"):
                return True
        return False

    @property
    def unread(self) -> tuple[Unreadable, ...]:
        """What might have told more and cannot be read: units, boot loaders, accounts."""
        units = (unit for unit in self._units if isinstance(unit, Unreadable))
        accounts = attempt(lambda: self._accounts.passwd)
        return (*units, *self.boot.unread, *((accounts,) if isinstance(accounts, Unreadable) else ()))

    # --- what the table says of paths -------------------------------------------------------

    @fact
    def sources(self) -> frozenset[str]:
        """The first fields of all lines of the table."""
        return frozenset(e.source for e in self.table.entries) if self.table is not None else frozenset()

    def mentions(self, text: str) -> bool:
        """True when /etc/fstab holds this text (a UUID, a label), in any case of letters.

        Raises:
            GuestReadError: it cannot be read.
        """
        return bool(text) and text.lower().encode("utf-8", "surrogateescape") in self.text.lower()

    def covered(self, path: str) -> bool:
        """True when what is under a path can be seen here: no mount above it is missing."""
        return not any(above in self._hidden for above in paths_above(path))

    @fact
    def _hidden(self) -> frozenset[str]:
        mounted = {"/", *(m.target for m in self.mounted)}
        return frozenset(s.target for s in self.specs if s.target.startswith("/")) - mounted

    def names_below(self, target: str) -> frozenset[str]:
        """First names below a mount point that the guest's own tables use: homes, mounts, bind sources."""
        if target not in self._below:
            self._below[target] = frozenset(self._look_below(target))
        return self._below[target]

    @fact
    def _paths(self) -> list[tuple[str, bool]]:
        """Every path that a table names, sorted, and whether it is the home of a service."""
        paths = list(self.homes)
        for entry in self.table.entries if self.table is not None else ():
            paths += [(entry.target, False), (entry.source, False)]
        return sorted(paths)

    def _look_below(self, target: str) -> Iterator[str]:
        prefix = target.rstrip("/") + "/"
        for path, is_service in islice(self._paths, bisect_left(self._paths, (prefix, False)), None):
            if not path.startswith(prefix):
                return
            # The homes of services say nothing of what /home holds.
            if path != target and not (is_service and target == "/home"):
                name = path.removeprefix(target).strip("/").partition("/")[0]
                if name:
                    yield name


def paths_above(path: str) -> Iterator[str]:
    """Every path that this one lies strictly under but ``/``, the shortest first; of no real path none."""
    if len(path) > PATH_MAX:
        return
    end = path.find("/", 1)
    while end > 0:
        yield path[:end]
        end = path.find("/", end + 1)


def is_below(path: str, parent: str) -> bool:
    """True when ``path`` lies strictly under ``parent``."""
    return path != parent and path.startswith(parent.rstrip("/") + "/")
