"""A file of systemd-networkd or udev together with its drop-ins: each setting with the file it stands in.

Sources: systemd.network(5), systemd.link(5): the fragment first, then the ``.conf`` files of ``NAME.d``, by
name, each read as if it stood at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from guestrepair.formats.systemd_unit import Assignment, Unit, merge_units, parse_unit
from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath
from guestrepair.system.fact import parsed
from guestrepair.system.network.directories import merged_files
from guestrepair.system.network.model import Place


@dataclass(frozen=True, slots=True)
class Setting:
    """One assignment, and where it stands."""

    section: str
    key: str
    value: str
    place: Place


@dataclass(frozen=True, slots=True)
class Layered:
    """The fragment and its drop-ins (``files``, in the order read), as one ``unit`` and with places."""

    path: GuestPath
    files: tuple[GuestPath, ...]
    unit: Unit
    settings: tuple[Setting, ...]

    def living(self, section: str, keys: Iterable[str]) -> Iterator[Setting]:
        """The settings of a section that count: what an empty assignment resets is left out."""
        kept: dict[str, list[Setting]] = {key: [] for key in keys}
        for setting in self.settings:
            if setting.section != section or setting.key not in kept:
                continue
            if setting.value:
                kept[setting.key].append(setting)
            else:
                kept[setting.key].clear()
        wanted = {id(s) for each in kept.values() for s in each}
        return (s for s in self.settings if id(s) in wanted)

    def begin(self, section: str) -> Place:
        """Where a section begins in the fragment; the whole fragment where it has none."""
        own = (s.place for s in self.settings if s.section == section and s.place.path == self.path)
        return next(own, Place(self.path))


def read_layered(guest: Guest, directories: Iterable[GuestPath], path: GuestPath) -> Layered:
    """A fragment with the drop-ins of all directories.

    Raises:
        GuestReadError: one of them cannot be read.
    """
    files = (path, *merged_files(guest, [d / f"{path.name}.d" for d in directories], ".conf"))
    return layered([(file, guest.read(file)) for file in files])


def layered(contents: Sequence[tuple[GuestPath, bytes]]) -> Layered:
    """The same of bytes: the fragment first.

    Raises:
        GuestReadError: more settings than any real one has.
    """
    units = [(path, parsed(parse_unit, data, path)) for path, data in contents]
    settings = tuple(_placed(path, a) for path, unit in units for a in unit.assignments)
    return Layered(
        contents[0][0], tuple(path for path, _ in units), merge_units(unit for _, unit in units), settings
    )


def _placed(path: GuestPath, assignment: Assignment) -> Setting:
    return Setting(assignment.section, assignment.key, assignment.value, Place(path, assignment.line))
