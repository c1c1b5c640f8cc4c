"""The third and fourth field: the wrong type, a type without a driver, options that are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.options import BadOption, bad_options, needs_release
from guestrepair.formats.fstab import Entry
from guestrepair.formats.splice import Splice
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Inconclusive, Repair, Safety, Severity
from guestrepair.system.drivers import Drivers, KernelModules, Release
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System
from guestrepair.system.mounts import types
from guestrepair.system.mounts.evidence import describe
from guestrepair.system.mounts.meaning import Judged, State
from guestrepair.system.mounts.subvolumes import wrong_subvolumes

_HELPERS = ("/sbin", "/usr/sbin", "/usr/bin")

WRONG_TYPE = Rule(
    name="fstab/wrong-type",
    summary="the type is not what is on the disk",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="The third field names another type than blkid(8) sees on the device. auto, and names for one "
    "driver, are no fault.",
    why="The kernel refuses the mount: wrong fs type, bad option, bad superblock.",
    repair="The type that is there.",
    example="UUID=… /data ext4 … where the filesystem is xfs.",
    sources=("mount(8), -t", "blkid(8)"),
)

UNSUPPORTED_TYPE = Rule(
    name="fstab/unsupported-type",
    summary="no kernel of the guest has a driver for the type",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.MANUAL,),
    what="No installed kernel lists the driver in modules.dep or modules.builtin, or modprobe.d blocks it.",
    why="The mount of a required line fails: unknown filesystem type.",
    repair="By hand: install the kernel's package with the driver, or unblock it.",
    example="install vfat /bin/true in /etc/modprobe.d, and /boot/efi is vfat.",
    sources=("depmod(8)", "modprobe.d(5)"),
)

BAD_OPTION = Rule(
    name="fstab/bad-option",
    summary="an option that the filesystem refuses",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="An option of another filesystem, a misspelled one, a value that is not allowed, a btrfs "
    "subvolume that is not there, a subvolid of none or of another than subvol, a swap priority that is no "
    "number, an option that the guest's kernels no longer have.",
    why="The kernel refuses the whole mount for one unknown option.",
    repair="The option is corrected where one correction is near, else left out.",
    example="errors=remount-ro on xfs; defualts; subvol=@hom",
    sources=(
        "Linux Documentation/filesystems/{ext4,vfat,btrfs}.rst, Documentation/admin-guide/xfs.rst",
        "mount(8), Filesystem-specific mount options",
        "swapon(8)",
    ),
)


def check_types(context: Context) -> Iterator[Finding | Inconclusive]:
    """Wrong types, bad options and missing drivers of the lines that boot needs."""
    drivers = context.system.drivers
    kernels: tuple[KernelModules, ...] | Unreadable | None = None
    for j in context.system.mounts.judged:
        entry = j.spec.entry
        if entry is None or not j.spec.required:
            continue
        wrong = _wrong_type(j, entry)
        if wrong is not None:
            yield wrong
        has_driver = entry.type in types.MODULES and j.spec.target != "/"
        if kernels is None and (has_driver or needs_release(entry.options)):
            kernels = attempt(lambda: drivers.kernels)
            yield from _unread(drivers, kernels)
        there = kernels if isinstance(kernels, tuple) else ()
        yield from _bad_options(j, entry, drivers.releases if there else ())
        if wrong is None and there and has_driver:
            yield from _unsupported(context.system, j, there)


def _unread(drivers: Drivers, kernels: tuple[KernelModules, ...] | Unreadable) -> Iterator[Inconclusive]:
    """What cannot be read cannot be held against the guest: it is said once."""
    unread = (kernels,) if isinstance(kernels, Unreadable) else drivers.unread
    return (Inconclusive("fstab", each.error.message) for each in unread)


# --- the type ---------------------------------------------------------------------


def _wrong_type(j: Judged, entry: Entry) -> Finding | None:
    device = j.meant
    if device is None or j.state not in {State.RESOLVED, State.MISPLACED, State.MISSING}:
        return None
    if not device.content or types.fits(entry.type, device.content):
        return None
    if not (device.is_filesystem or device.content == "swap"):
        return None
    token = entry.type_token
    edit = edits.replace(token.offset, len(token.raw), device.content)
    return WRONG_TYPE.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.name} is to be mounted as {entry.type}, but {describe(device)} is "
        f"{device.content}",
        evidence=(Evidence(device.name, device.content, entry.type),),
        repair=_type_repair(j, entry, edit),
    )


def _type_repair(j: Judged, entry: Entry, edit: Splice) -> Repair:
    device = j.meant
    content = device.content if device is not None else ""
    # Swap on a directory, or a filesystem as swap, is more than a slip in one word.
    if entry.target.startswith("/") == (content == "swap"):
        return edits.manual(f"decide what {j.spec.name} is to be, and write the line anew")
    return edits.of_spec(j.spec, f"make the type {content}", Safety.SAFE, edit)


# --- options ------------------------------------------------------------------------


def _bad_options(j: Judged, entry: Entry, kernels: Sequence[Release]) -> Iterator[Finding]:
    fs_type = entry.type
    device = j.meant
    if (
        device is not None
        and device.content
        and (fs_type == "auto" or not types.fits(fs_type, device.content))
    ):
        fs_type = device.content
    subvolume = [BadOption(w.option, w.reason, w.instead) for w in wrong_subvolumes(device, entry)]
    bad = [*bad_options(fs_type, entry.options, kernels), *subvolume]
    if not bad or entry.options_token is None:
        return
    instead = {b.option: b.instead for b in bad}
    kept = [k for o in entry.options if (k := instead.get(o, o)) is not None]
    # What subvolume is meant, nobody but a person can say, where no name is near.
    known = all(b.instead is not None for b in subvolume)
    repair = (
        edits.of_spec(
            j.spec,
            f"make the options {','.join(kept) or 'defaults'}",
            Safety.SAFE,
            edits.set_options(entry, kept),
        )
        if known
        else edits.manual("name a subvolume that is there")
    )
    yield BAD_OPTION.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.name} will not be mounted: {'; '.join(b.reason for b in bad)}",
        evidence=tuple(Evidence(j.spec.place, b.option, b.instead or "no such option") for b in bad),
        repair=repair,
    )


# --- drivers ------------------------------------------------------------------------


def _unsupported(system: System, j: Judged, kernels: Sequence[KernelModules]) -> Iterator[Finding]:
    fs_type = j.spec.type
    drivers = set(types.MODULES[fs_type])
    if _has_helper(system, fs_type):
        return
    having = [k for k in kernels if k.has_any(drivers)]
    if not having:
        names = ", ".join(kernel.release for kernel in kernels)
        yield _no_driver(j, f"no kernel of this system has a driver for {fs_type}", "modules.dep", names)
        return
    if any(drivers & k.builtin for k in having):
        return
    loadable = drivers & frozenset().union(*(k.loadable for k in having))
    blocked = [(place, b) for place, b in system.drivers.blocked if b.name in loadable]
    if {b.name for _, b in blocked} >= loadable:
        place, found = blocked[0]
        yield _no_driver(j, f"the driver {found.name} is blocked ({found.how})", place, found.how)


def _has_helper(system: System, fs_type: str) -> bool:
    return any(system.files.exists(GuestPath(f"{d}/mount.{fs_type}")) for d in _HELPERS)


def _no_driver(j: Judged, why: str, place: str, observed: str) -> Finding:
    return UNSUPPORTED_TYPE.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.name} cannot be mounted: {why}",
        evidence=(Evidence(place, observed, f"a driver for {j.spec.type}"),),
        repair=edits.manual("install the kernel's package with the driver, or unblock it in /etc/modprobe.d"),
    )
