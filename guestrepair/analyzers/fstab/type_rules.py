"""Rules on the third and fourth field: the wrong type, a type without a driver, options that are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.analyzers.fstab import declarations as rules
from guestrepair.analyzers.fstab import edits, types
from guestrepair.analyzers.fstab.evidence import describe
from guestrepair.analyzers.fstab.facts import Facts
from guestrepair.analyzers.fstab.judgement import TOP_LEVEL, Judged, State
from guestrepair.analyzers.fstab.nearness import edit_distance
from guestrepair.analyzers.fstab.options import BadOption, Release, bad_options, needs_release
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats.fstab import Entry, is_number
from guestrepair.formats.modules import (
    MAX_SIZE_BYTES,
    Blocked,
    parse_modprobe_conf,
    parse_modules_builtin,
    parse_modules_dep,
)
from guestrepair.model import Edit, Evidence, Finding, GuestPath, Repair, Safety, Severity

_MODPROBE = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/lib/modprobe.d", "/lib/modprobe.d")
_HELPERS = ("/sbin", "/usr/sbin", "/usr/bin")


def check_types(facts: Facts, judged: Sequence[Judged]) -> Iterator[Finding]:
    """Wrong types, bad options and missing drivers of the lines that boot needs."""
    kernels: Kernels | None = None
    for j in judged:
        entry = j.spec.entry
        if entry is None or not j.spec.required:
            continue
        wrong = _wrong_type(facts, j, entry)
        if wrong is not None:
            yield wrong
        if needs_release(entry.options) or (entry.type in types.MODULES and j.spec.target != "/"):
            kernels = kernels or read_kernels(facts)
        yield from _bad_options(facts, j, entry, () if kernels is None else kernels.releases)
        if wrong is None and kernels is not None and entry.type in types.MODULES and j.spec.target != "/":
            yield from _unsupported(facts, j, kernels)


# --- the type ---------------------------------------------------------------------


def _wrong_type(facts: Facts, j: Judged, entry: Entry) -> Finding | None:
    device = j.meant
    if device is None or j.state not in {State.RESOLVED, State.MISPLACED, State.MISSING}:
        return None
    if not device.content or types.fits(entry.type, device.content):
        return None
    if not (device.is_filesystem or device.content == "swap"):
        return None
    token = entry.type_token
    edit = edits.replace(token.offset, len(token.raw), device.content)
    return Finding(
        rules.WRONG_TYPE.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.name} is to be mounted as {entry.type}, but {describe(device)} is "
        f"{device.content}",
        (Evidence(device.name, device.content, entry.type),),
        _type_repair(facts, j, entry, edit),
    )


def _type_repair(facts: Facts, j: Judged, entry: Entry, edit: Edit) -> Repair:
    device = j.meant
    content = device.content if device is not None else ""
    # Swap on a directory, or a filesystem as swap, is more than a slip in one word.
    if entry.target.startswith("/") == (content == "swap"):
        return edits.manual(f"decide what {j.spec.name} is to be, and write the line anew")
    return edits.repair(j.spec.file, facts.data or b"", f"make the type {content}", Safety.SAFE, edit)


# --- options ------------------------------------------------------------------------


def _bad_options(facts: Facts, j: Judged, entry: Entry, kernels: Sequence[Release]) -> Iterator[Finding]:
    fs_type = entry.type
    device = j.meant
    if (
        device is not None
        and device.content
        and (fs_type == "auto" or not types.fits(fs_type, device.content))
    ):
        fs_type = device.content
    subvolume = [*_bad_subvolume(j, entry), *_bad_subvolume_number(j, entry)]
    bad = [*bad_options(fs_type, entry.options, kernels), *subvolume]
    if not bad or entry.options_token is None:
        return
    instead = {b.option: b.instead for b in bad}
    kept = [k for o in entry.options if (k := instead.get(o, o)) is not None]
    # What subvolume is meant, nobody but a person can say, where no name is near.
    known = all(b.instead is not None for b in subvolume)
    repair = (
        edits.repair(
            j.spec.file,
            facts.data or b"",
            f"make the options {','.join(kept) or 'defaults'}",
            Safety.SAFE,
            edits.set_options(entry, kept),
        )
        if known
        else edits.manual("name a subvolume that is there")
    )
    yield Finding(
        rules.BAD_OPTION.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.name} will not be mounted: {'; '.join(b.reason for b in bad)}",
        tuple(Evidence(j.spec.subject, b.option, b.instead or "no such option") for b in bad),
        repair,
    )


def _bad_subvolume(j: Judged, entry: Entry) -> Iterator[BadOption]:
    device, wanted = j.meant, (entry.option("subvol") or "").strip("/")
    if device is None or device.content != "btrfs" or not wanted or not device.subvolumes:
        return
    if wanted in device.subvolumes:
        return
    near = _near_subvolumes(wanted, device.subvolumes)
    instead = f"subvol={near[0]}" if len(near) == 1 else None
    reason = f"{device.name} has no subvolume {wanted}"
    written = next(o for o in reversed(entry.options) if o.startswith("subvol="))
    yield BadOption(written, reason, instead)


def _bad_subvolume_number(j: Judged, entry: Entry) -> Iterator[BadOption]:
    """``subvolid=`` of no subvolume, or of another one than ``subvol=``: the kernel refuses both."""
    device, text = j.meant, entry.option("subvolid") or ""
    if device is None or device.content != "btrfs" or not device.subvolume_ids or not is_number(text):
        return
    numbers = dict(zip(device.subvolumes, device.subvolume_ids, strict=True))
    path = (entry.option("subvol") or "").strip("/")
    right = numbers.get(path)
    known = {0, TOP_LEVEL, *device.subvolume_ids}
    if int(text) in known and (right is None or int(text) == right):
        return
    reason = (
        f"{device.name} has no subvolume with the number {text}"
        if int(text) not in known
        else f"subvolume {path} has the number {right}, and not {text}"
    )
    yield BadOption(f"subvolid={text}", reason, None if right is None else f"subvolid={right}")


def _near_subvolumes(wanted: str, there: tuple[str, ...]) -> list[str]:
    plain = wanted.removeprefix("@").lower()
    exact = [s for s in there if s.removeprefix("@").lower() == plain]
    most = 1 if len(wanted) < 6 else 2
    return exact or [s for s in there if len(s) > 2 and edit_distance(wanted, s, most) is not None]


# --- drivers ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kernels:
    """The modules of each kernel (loadable and built in), and what modprobe will not load."""

    modules: tuple[tuple[str, frozenset[str], frozenset[str]], ...]
    blocked: tuple[tuple[str, Blocked], ...]

    @property
    def releases(self) -> tuple[Release, ...]:
        """The releases of all of them, as (major, minor); empty when one's name tells none."""
        found = [re.match(r"(\d{1,4})\.(\d{1,4})", name) for name, _, _ in self.modules]
        return tuple((int(m[1]), int(m[2])) for m in found if m is not None) if all(found) else ()


def read_kernels(facts: Facts) -> Kernels:
    """Read the lists of every kernel that has both; a kernel without its lists says nothing."""
    guest = facts.guest
    folder = next(
        (p for p in map(GuestPath, ("/usr/lib/modules", "/lib/modules")) if guest.is_directory(p)), None
    )
    found = []
    for name in guest.listdir(folder) if folder is not None else ():
        assert folder is not None  # noqa: S101 - names come from it
        try:
            loadable = parse_modules_dep(
                guest.read(folder / name / "modules.dep", limit_bytes=MAX_SIZE_BYTES)
            )
            builtin = parse_modules_builtin(
                guest.read(folder / name / "modules.builtin", limit_bytes=MAX_SIZE_BYTES)
            )
        except FormatError:
            continue  # a half-installed kernel: the boot rules look at it
        except GuestReadError as error:
            if guest.exists(folder / name / "modules.dep"):
                facts.unread.append(error.message)
                return Kernels((), ())  # the one that cannot be read may have the driver
            continue
        if loadable:
            found.append((name, loadable, builtin))
    return Kernels(tuple(found), tuple(_blocked(facts)))


def _blocked(facts: Facts) -> Iterator[tuple[str, Blocked]]:
    seen: set[str] = set()
    for folder in map(GuestPath, _MODPROBE):
        for path in facts.guest.glob(folder, "*.conf"):
            if path.name in seen:
                continue  # a file in /etc replaces one of the same name in /usr/lib (modprobe.d(5))
            seen.add(path.name)
            try:
                found = parse_modprobe_conf(facts.guest.read(path))
            except FormatError:
                continue
            except GuestReadError as error:
                # A rule that cannot be read cannot be held against the guest.
                facts.unread.append(error.message)
                continue
            yield from ((f"{path}:{b.line}", b) for b in found)


def _unsupported(facts: Facts, j: Judged, kernels: Kernels) -> Iterator[Finding]:
    fs_type = j.spec.type
    drivers = set(types.MODULES[fs_type])
    if not kernels.modules or _has_helper(facts, fs_type):
        return
    having = [k for k in kernels.modules if drivers & (k[1] | k[2])]
    if not having:
        names = ", ".join(name for name, _, _ in kernels.modules)
        yield _no_driver(j, f"no kernel of this system has a driver for {fs_type}", "modules.dep", names)
        return
    if any(drivers & k[2] for k in having):
        return
    loadable = drivers & frozenset().union(*(k[1] for k in having))
    blocked = [(place, b) for place, b in kernels.blocked if b.name in loadable]
    if {b.name for _, b in blocked} >= loadable:
        place, found = blocked[0]
        yield _no_driver(j, f"the driver {found.name} is blocked ({found.how})", place, found.how)


def _has_helper(facts: Facts, fs_type: str) -> bool:
    return any(facts.guest.exists(GuestPath(f"{d}/mount.{fs_type}")) for d in _HELPERS)


def _no_driver(j: Judged, why: str, place: str, observed: str) -> Finding:
    return Finding(
        rules.UNSUPPORTED_TYPE.name,
        Severity.ERROR,
        j.spec.subject,
        f"{j.spec.subject}: {j.spec.name} cannot be mounted: {why}",
        (Evidence(place, observed, f"a driver for {j.spec.type}"),),
        edits.manual("install the kernel's package with the driver, or unblock it in /etc/modprobe.d"),
    )
