"""systemd's units as a boot would load them: fragments, drop-ins, masks, aliases, what pulls what in.

Sources: systemd.unit(5) *Unit File Load Path*, *[Install] Section Options*, *Mapping of Unit
Properties to Their Inverses*; systemd.special(7); systemd.preset(5); tmpfiles.d(5) for drop-in files.
What generators write at boot (fstab's mount units, getty on a serial console) is not here.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from guestrepair.formats.systemd_unit import Unit, merge_units, parse_unit
from guestrepair.guest.masks import is_masked, leads_to_null
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import Unreadable, attempt, fact, known

UNIT_DIRECTORIES = tuple(
    GuestPath(p)
    for p in (
        "/etc/systemd/system.control",
        "/etc/systemd/system",
        "/usr/local/lib/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    )
)
"""Where unit files are looked for, the first one wins (without what exists only while running)."""

OWN = GuestPath("/etc/systemd/system")
VENDOR_DIRECTORIES = UNIT_DIRECTORIES[2:]
_PACKAGED_DIRECTORIES = UNIT_DIRECTORIES[3:]
_PRESETS = tuple(
    GuestPath(p)
    for p in (
        "/etc/systemd/system-preset",
        "/usr/local/lib/systemd/system-preset",
        "/usr/lib/systemd/system-preset",
        "/lib/systemd/system-preset",
    )
)
_PROGRAMS = tuple(GuestPath(p) for p in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd"))
_VERSION = re.compile(r"libsystemd-shared-([0-9]{1,4})")
_PULLING = ("Wants", "Requires", "BindsTo", "Upholds")
_PULLING_DIRECTORIES = (".wants", ".requires", ".upholds")
_MAX_UNITS = 4096


@dataclass(frozen=True, slots=True)
class LoadedUnit:
    """A unit: the name asked for, its own (an alias leads to it), its fragment, drop-ins and assignments.

    A masked unit has no assignments. ``unread`` are drop-ins that cannot be read: what they would
    set is not known. ``texts`` are the files that were read, in order, each with its bytes.
    """

    name: str
    real_name: str
    path: GuestPath
    masked: bool = False
    unit: Unit = field(default_factory=Unit)
    drop_ins: tuple[GuestPath, ...] = ()
    unread: tuple[Unreadable, ...] = ()
    texts: tuple[tuple[GuestPath, bytes], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The name asked for and its own."""
        return frozenset({self.name, self.real_name})

    @property
    def can_be_enabled(self) -> bool:
        """True when there is an [Install] section that says what would start it."""
        return any(
            self.unit.words("Install", key)
            for key in ("WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also", "DefaultInstance")
        )


def chosen_files(guest: Guest, directories: Iterable[GuestPath], suffix: str) -> tuple[GuestPath, ...]:
    """The files of configuration directories in systemd's order: by name, the first directory wins.

    Masked names are left out, and what is no regular file.
    """
    chosen: dict[str, GuestPath] = {}
    for directory in directories:
        for path in guest.glob(directory, f"*{suffix}"):
            chosen.setdefault(path.name, path)
    return tuple(
        chosen[name]
        for name in sorted(chosen)
        if not leads_to_null(guest, chosen[name]) and guest.is_file(chosen[name])
    )


class Systemd:
    """The units of one guest. Everything is read when it is asked for, and once."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self._loaded: dict[str, LoadedUnit | Unreadable | None] = {}

    @fact
    def installed(self) -> bool:
        """True when systemd itself is there: pid 1 would be it."""
        return any(self._guest.exists(path) for path in _PROGRAMS)

    @fact
    def version(self) -> int | None:
        """Its version, by the name of the library of its own programs; None where that tells none."""
        folders = [path.parent for path in _PROGRAMS]
        folders += [path / "systemd" for path in self._guest.glob(GuestPath("/usr/lib"), "*-linux-*")]
        names = (
            path.name for folder in folders for path in self._guest.glob(folder, "libsystemd-shared-*.so")
        )
        found = [_VERSION.match(name) for name in names]
        return max((int(m[1]) for m in found if m is not None), default=None)

    @fact
    def directories(self) -> tuple[GuestPath, ...]:
        """The load path, as far as it is there; /lib is left out where it leads to /usr/lib."""
        found: dict[GuestPath, GuestPath] = {}
        for directory in UNIT_DIRECTORIES:
            real = self._guest.resolve(directory)
            if real is not None and self._guest.is_directory(real):
                found.setdefault(real, directory)
        return tuple(found.values())

    @fact
    def unit_names(self) -> tuple[str, ...]:
        """The names of all unit files, masked ones too, sorted; at most some thousands."""
        names = {n for listed in self._listings.values() for n in listed if _is_unit_name(n)}
        return tuple(sorted(names)[:_MAX_UNITS])

    @fact
    def own_names(self) -> tuple[str, ...]:
        """The names of the administrator's own units: no masks, no links to what packages bring; sorted."""
        own = {d: n for d, n in self._listings.items() if d not in _PACKAGED_DIRECTORIES}
        paths = [directory / n for directory, names in own.items() for n in names if _is_unit_name(n)]
        links = self._guest.readlinks(paths)
        vendor = tuple(f"{directory}/" for directory in (*_PACKAGED_DIRECTORIES, "/dev"))
        return tuple(sorted({path.name for path in paths if not links[path].startswith(vendor)})[:_MAX_UNITS])

    @fact
    def pulled_names(self) -> tuple[str, ...]:
        """The names of all links in .wants, .requires and .upholds directories, sorted."""
        names = {name for links in self._pulling.values() for name in links if _is_unit_name(name)}
        return tuple(sorted(names)[:_MAX_UNITS])

    @fact
    def _listings(self) -> dict[GuestPath, tuple[str, ...]]:
        return {directory: self._guest.listdir(directory) for directory in self.directories}

    def load(self, name: str) -> LoadedUnit | None:
        """The unit of that name with its drop-ins; None when no directory has it.

        An instance (``getty@tty1.service``) is loaded from its template where it has no file of its own.

        Raises:
            GuestReadError: its fragment is there and cannot be read.
        """
        if name not in self._loaded:
            self._loaded[name] = attempt(lambda: self._load(name), name)
        return known(self._loaded[name])

    def is_masked(self, name: str) -> bool:
        """True when the unit, or what its name is an alias of, is masked."""
        return self.masked_by(name) is not None

    def masked_by(self, name: str) -> GuestPath | None:
        """The link to /dev/null, or the empty file, that masks a unit (or what its name is an alias of)."""
        unit = self.load(name)
        if unit is not None and not unit.masked and unit.real_name != name:
            unit = self.load(unit.real_name)
        return unit.path if unit is not None and unit.masked else None

    def vendor(self, name: str) -> LoadedUnit | None:
        """The unit as the packages have it, whatever the administrator put in front of it.

        Raises:
            GuestReadError: its fragment is there and cannot be read.
        """
        return self._load(name, [d for d in self.directories if d in VENDOR_DIRECTORIES])

    def pulled_in_by(self, name: str) -> tuple[GuestPath, ...]:
        """The links in .wants, .requires and .upholds directories that start a unit, under any name of it."""
        names = self.names_of(name)
        return tuple(
            directory / link
            for directory, links in self._pulling.items()
            for link in links
            if link in names or _template(link) in names
        )

    def names_of(self, name: str) -> frozenset[str]:
        """Every name that leads to the same unit: aliases are links to its fragment (Alias=)."""
        unit = self.load(name)
        real = name if unit is None else unit.real_name
        return frozenset({name, real, *(alias for alias, target in self._aliases.items() if target == real)})

    @fact
    def _aliases(self) -> dict[str, str]:
        paths = [d / n for d, names in self._listings.items() for n in names if _is_unit_name(n)]
        links = self._guest.readlinks(paths)
        found: dict[str, str] = {}
        for path in paths:
            target = GuestPath(links[path]).name if links[path] else ""
            if target and target != path.name and _is_unit_name(target):
                found.setdefault(path.name, target)
        return found

    @fact
    def _pulling(self) -> dict[GuestPath, tuple[str, ...]]:
        """Each .wants, .requires and .upholds directory with the names in it."""
        found: dict[GuestPath, tuple[str, ...]] = {}
        for directory, names in self._listings.items():
            for name in names:
                if name.endswith(_PULLING_DIRECTORIES) and self._guest.is_directory(directory / name):
                    found[directory / name] = self._guest.listdir(directory / name)
        return found

    def pulls_in(self, name: str) -> tuple[str, ...]:
        """The units that the start of this one starts, by its own settings and by links for it."""
        unit = self.load(name)
        if unit is None or unit.masked:
            return ()
        found: dict[str, None] = {}
        for key in _PULLING:
            found |= dict.fromkeys(unit.unit.words("Unit", key))
        return tuple(found | dict.fromkeys(self.links_of(name)))

    def links_of(self, name: str) -> tuple[str, ...]:
        """The units that links in .wants, .requires and .upholds directories of this one start with it."""
        folders = {f"{n}{suffix}" for n in self.names_of(name) for suffix in _PULLING_DIRECTORIES}
        found = (links for directory, links in self._pulling.items() if directory.name in folders)
        return tuple(dict.fromkeys(link for links in found for link in links))

    @fact
    def started_at_boot(self) -> frozenset[str]:
        """The units that the default target pulls in, directly or not, by their own names; no masked ones.

        What a unit that cannot be read would pull in is not known, and not here.
        """
        seen: set[str] = set()
        waiting = ["default.target", "sysinit.target", "basic.target"]
        while waiting:
            unit = attempt(partial(self.load, waiting.pop()))
            if unit is None or isinstance(unit, Unreadable) or unit.masked or unit.real_name in seen:
                continue
            seen.add(unit.real_name)
            waiting += self.pulls_in(unit.name)
        return frozenset(seen)

    def preset(self, name: str) -> str:
        """``enable`` or ``disable``, by the first line of the preset files that fits; "" when none does."""
        for action, pattern in self._preset_lines:
            if fnmatch.fnmatchcase(name, pattern):
                return action
        return ""

    @fact
    def _preset_lines(self) -> tuple[tuple[str, str], ...]:
        found = []
        for path in chosen_files(self._guest, _PRESETS, ".preset"):
            for line in self._guest.read(path).decode("utf-8", "surrogateescape").split("\n"):
                words = line.split()
                if len(words) >= 2 and words[0] in ("enable", "disable"):
                    found.append((words[0], words[1]))
        return tuple(found)

    # --- loading --------------------------------------------------------------------

    def _load(self, name: str, directories: Sequence[GuestPath] | None = None) -> LoadedUnit | None:
        if not _is_unit_name(name):
            return None
        where = self.directories if directories is None else directories
        for wanted in dict.fromkeys((name, _template(name))):
            for directory in where:
                found = self._fragment(name, directory / wanted)
                if found is not None:
                    return found
        return None

    def _fragment(self, name: str, path: GuestPath) -> LoadedUnit | None:
        """The unit from that file; None when it is not there, or a link that leads nowhere."""
        guest = self._guest
        if guest.lstat(path) is None:
            return None
        if is_masked(guest, path):
            return LoadedUnit(name, name, path, masked=True)
        real = guest.resolve(path)
        found = None if real is None else guest.lstat(real)
        if real is None or found is None or not found.is_file:
            return None
        own_name = _own_name(name, path, real)
        fragment = guest.read(real)
        parts, files, unread, texts = [parse_unit(fragment)], [], [], [(real, fragment)]
        for file in chosen_files(guest, self._drop_in_directories(name, own_name), ".conf"):
            data = attempt(partial(guest.read, file))
            if isinstance(data, Unreadable):
                unread.append(data)
            else:
                files.append(file)
                texts.append((guest.resolve(file) or file, data))
                parts.append(parse_unit(data))
        return LoadedUnit(
            name,
            own_name,
            path,
            unit=merge_units(parts),
            drop_ins=tuple(files),
            unread=tuple(unread),
            texts=tuple(texts),
        )

    def _drop_in_directories(self, name: str, own_name: str) -> Iterator[GuestPath]:
        """NAME.d before the shorter ones: the template's, each prefix that ends in a dash, the type's."""
        names = [n for each in dict.fromkeys((own_name, name)) for n in _drop_in_names(each)]
        listed = {f"{n}.d" for n in names}
        present = {d for d, found in self._listings.items() if listed & set(found)}
        for wanted in dict.fromkeys(names):
            yield from (directory / f"{wanted}.d" for directory in self.directories if directory in present)


def _drop_in_names(name: str) -> Iterator[str]:
    stem, _, kind = name.rpartition(".")
    yield name
    if _template(name) != name:
        yield _template(name)
    while "-" in stem.rstrip("-"):
        stem = stem.rstrip("-").rpartition("-")[0] + "-"
        yield f"{stem}.{kind}"
    yield kind


_KINDS = (
    "service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "slice", "scope"
)  # fmt: skip


def _is_unit_name(name: str) -> bool:
    stem, dot, kind = name.rpartition(".")
    return bool(stem and dot) and kind in _KINDS and "/" not in name and len(name) < 256


def _template(name: str) -> str:
    """``getty@.service`` for ``getty@tty1.service``; the name itself when it is no instance."""
    stem, _, kind = name.rpartition(".")
    prefix, at, _ = stem.partition("@")
    return f"{prefix}@.{kind}" if at else name


def _own_name(name: str, path: GuestPath, real: GuestPath) -> str:
    """An alias's unit has the name of the file that the link leads to; an instance keeps its own."""
    if path.name == real.name or real.suffix != path.suffix or not _is_unit_name(real.name):
        return name
    return name if real.name == _template(name) else real.name
