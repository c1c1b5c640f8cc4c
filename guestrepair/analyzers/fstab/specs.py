"""What is to be mounted, from wherever it is declared: a line of fstab, or a systemd mount or swap unit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guestrepair.analyzers.fstab.facts import Facts
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.fstab import Entry, normalize_target, split_options
from guestrepair.formats.systemd_unit import parse_unit
from guestrepair.model import GuestPath

UNITS = GuestPath("/etc/systemd/system")
_MAX_UNITS = 200


@dataclass(frozen=True, slots=True)
class Spec:
    """One mount or swap area. ``before`` is the file's content; ``offset`` and ``length`` span its source."""

    file: GuestPath
    before: bytes
    number: int
    source: str
    target: str
    type: str
    options: tuple[str, ...]
    required: bool
    offset: int
    length: int
    entry: Entry | None = None

    @property
    def subject(self) -> str:
        """File and line."""
        return f"{self.file}:{self.number}"

    @property
    def is_swap(self) -> bool:
        """True for a swap area."""
        return self.type == "swap"

    @property
    def name(self) -> str:
        """What a person calls it: the mount point, or ``swap``."""
        return "swap" if self.is_swap else self.target

    def option(self, name: str) -> str | None:
        """The value of an option, "" without one, None when it is not there."""
        found = [o.partition("=")[2] for o in self.options if o.partition("=")[0] == name]
        return found[-1] if found else None


def from_entry(facts: Facts, file: GuestPath, entry: Entry) -> Spec:
    """The specification that a line of fstab gives."""
    token = entry.source_token
    return Spec(
        file=file,
        before=facts.data or b"",
        number=entry.number,
        source=entry.source,
        target=entry.target,
        type=entry.type,
        options=entry.options,
        required=entry.required,
        offset=token.offset,
        length=len(token.raw),
        entry=entry,
    )


def from_units(facts: Facts) -> Iterator[Spec]:
    """The specifications of the administrator's own mount and swap units that are enabled.

    A unit counts as enabled when a ``.wants`` or ``.requires`` directory links to it (systemd.unit(5)).
    """
    guest = facts.guest
    if not guest.is_directory(UNITS):
        return
    names = guest.listdir(UNITS)
    units = [n for n in names if n.endswith((".mount", ".swap"))][:_MAX_UNITS]
    if not units:
        return
    required = _pulled(facts, [n for n in names if n.endswith(".requires")])
    enabled = required | _pulled(facts, [n for n in names if n.endswith(".wants")])
    for name in units:
        if name in enabled:
            spec = _from_unit(facts, UNITS / name, required=name in required)
            if spec is not None:
                yield spec


def _pulled(facts: Facts, folders: list[str]) -> set[str]:
    return {n for folder in folders if facts.guest.is_directory(UNITS / folder)
            for n in facts.guest.listdir(UNITS / folder)}  # fmt: skip


def _from_unit(facts: Facts, path: GuestPath, *, required: bool) -> Spec | None:
    try:
        data = facts.guest.read(path)
        unit = parse_unit(data)
    except GuestReadError as error:
        facts.unread.append(error.message)
        return None
    except FormatError as error:
        facts.unread.append(f"{path}: {error.message}")
        return None
    section = "Swap" if path.suffix == ".swap" else "Mount"
    found = [a for a in unit.assignments if a.section == section and a.key == "What" and a.value]
    if not found:
        return None
    what = found[-1]
    start = sum(len(line) + 1 for line in data.split(b"\n")[: what.line - 1])
    raw = what.value.encode("utf-8", "surrogateescape")
    offset = data.find(raw, start)
    return Spec(
        file=path,
        before=data,
        number=what.line,
        source=what.value,
        target="none" if section == "Swap" else normalize_target(unit.last("Mount", "Where")),
        type="swap" if section == "Swap" else unit.last("Mount", "Type") or "auto",
        options=split_options(unit.last(section, "Options")),
        required=required,
        offset=offset,
        length=len(raw) if offset >= 0 else 0,
    )
