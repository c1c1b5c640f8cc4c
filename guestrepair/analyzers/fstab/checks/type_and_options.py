"""The third and fourth field: the wrong type, a type without a driver, options that are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.fstab import edits
from guestrepair.analyzers.fstab.checks.target import is_reserved
from guestrepair.analyzers.fstab.ext_options import JUDGED, Refused, refused_by_filesystem, refused_by_remount
from guestrepair.analyzers.fstab.options import BadOption, bad_options, is_known, needs_release
from guestrepair.formats.fstab import Entry
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Inconclusive, Repair, Safety, Severity
from guestrepair.system.drivers import KernelModules, Release
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System
from guestrepair.system.mounts import types
from guestrepair.system.mounts.evidence import describe
from guestrepair.system.mounts.meaning import Judged, State
from guestrepair.system.mounts.subvolumes import wrong_subvolumes

_FAIL_AT_BOOT = frozenset({"overlay", "overlayfs", "none"})
"""Of the types that no disk has: others mount something else, or wait with the network."""
_HELPERS = ("/sbin", "/usr/sbin", "/usr/bin")

WRONG_TYPE = Rule(
    name="fstab/wrong-type",
    summary="the type is not what is on the disk",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="The third field names another type than blkid(8) sees on the device. auto, and names for one "
    "driver, are no fault. Or it names a type of the network, an overlay or a pseudo filesystem, and the "
    "source is a disk's.",
    why="The kernel refuses the mount: wrong fs type, bad option, bad superblock.",
    repair="The type that is there; options of the network go with it for review.",
    example="UUID=… /data ext4 … where the filesystem is xfs.",
    sources=("mount(8), -t", "blkid(8)"),
)

UNSUPPORTED_TYPE = Rule(
    name="fstab/unsupported-type",
    summary="no kernel of the guest has a driver for the type",
    severities=(Severity.ERROR, Severity.WARNING),
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
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="An option of another filesystem, a misspelled one, a value that is not allowed, a btrfs "
    "subvolume that is not there, a subvolid of none or of another than subvol, a swap priority that is no "
    "number, an option that the guest's kernels no longer have. On /, an option that holds only for the "
    "first mount (data= other than the superblock's or rootflags=). An overlay with upperdir= and without "
    "workdir=, or with directories that are not there, or on two filesystems.",
    why="The kernel refuses the whole mount, or the whole remount of /, for one option. An option that is "
    "refused only in a remount is a warning where / is mounted for writing before, or where it is not known "
    "how.",
    repair="The option is corrected where one correction is near, else left out. Of an overlay, the missing "
    "directory and option are made; what lies in its upper directory is never touched.",
    example="errors=remount-ro on xfs; defualts; subvol=@hom; data=writeback on /",
    sources=(
        "Linux Documentation/filesystems/{ext4,vfat,btrfs}.rst, Documentation/admin-guide/xfs.rst",
        "mount(8), Filesystem-specific mount options",
        "systemd-remount-fs.service(8)",
        "ext4(5), data=",
        "Linux Documentation/filesystems/overlayfs.rst, Upper and Lower",
        "swapon(8)",
    ),
)


def check_types(context: Context) -> Iterator[Finding | Inconclusive]:
    """Wrong types, bad options and missing drivers of the lines that boot needs."""
    system = context.system
    kernels: tuple[KernelModules, ...] | Unreadable | None = None
    for j in system.mounts.judged:
        entry = j.spec.entry
        if entry is None or not (j.spec.required or entry.target == "/"):
            continue
        wrong = _wrong_type(j, entry)
        if wrong is not None:
            yield wrong
        has_driver = entry.type in types.MODULES and j.spec.target != "/"
        if kernels is None and (has_driver or needs_release(entry.options) or entry.has(*JUDGED)):
            kernels = attempt(lambda: system.drivers.kernels)
            yield from _unread(system, kernels)
        there = kernels if isinstance(kernels, tuple) else ()
        if entry.type not in types.NEVER_ON_DISK:
            yield from _bad_options(system, j, entry, system.drivers.releases if there else ())
        if wrong is None and there and has_driver:
            yield from _unsupported(system, j, there)


def _unread(system: System, kernels: tuple[KernelModules, ...] | Unreadable) -> Iterator[Inconclusive]:
    """What cannot be read cannot be held against the guest: it is said once."""
    unread = (kernels,) if isinstance(kernels, Unreadable) else system.drivers.unread
    return (Inconclusive("fstab", each.error.message) for each in unread)


def releases(system: System) -> tuple[Release, ...]:
    """The releases of all kernels with lists of their modules; none when that of one cannot be told."""
    found = attempt(lambda: system.drivers.releases)
    return () if isinstance(found, Unreadable) else found


# --- the type ---------------------------------------------------------------------


def _wrong_type(j: Judged, entry: Entry) -> Finding | None:
    device = j.meant
    if device is None or j.state not in {State.RESOLVED, State.MISPLACED, State.MISSING}:
        return None
    if is_reserved(j):
        return None  # fstab/reserved-target has the line taken out
    if not device.content or not (device.is_filesystem or device.content == "swap"):
        return None
    if types.fits(entry.type, device.content) and entry.type != "none":
        return None
    if entry.type in types.NEVER_ON_DISK and entry.has("lowerdir", "remount", "move"):
        return None  # an overlay of directories is called what one likes
    return WRONG_TYPE.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {j.spec.name} is to be mounted as {entry.type}, but {describe(device)} is "
        f"{device.content}",
        effect=Effect.DEGRADES if entry.type in types.NEVER_ON_DISK - _FAIL_AT_BOOT else None,
        evidence=(Evidence(device.name, device.content, entry.type),),
        repair=_type_repair(j, entry, device.content),
    )


def _type_repair(j: Judged, entry: Entry, content: str) -> Repair:
    # Swap on a directory, or a filesystem as swap, is more than a slip in one word.
    if entry.target.startswith("/") == (content == "swap"):
        return edits.manual(f"decide what {j.spec.name} is to be, and write the line again")
    edit = edits.replace(entry.type_token.offset, len(entry.type_token.raw), content)
    kept = [option for option in entry.options if is_known(content, option)]
    if entry.type in types.NEVER_ON_DISK and len(kept) < len(entry.options):
        summary = f"make the type {content} and the options {','.join(kept) or 'defaults'}"
        return edits.of_spec(j.spec, summary, Safety.REVIEW, edit, edits.set_options(entry, kept))
    return edits.of_spec(j.spec, f"make the type {content}", Safety.SAFE, edit)


# --- options ------------------------------------------------------------------------


def _bad_options(
    system: System, j: Judged, entry: Entry, kernels: Sequence[Release]
) -> Iterator[Finding | Inconclusive]:
    fs_type = entry.type
    device = j.meant
    if (
        device is not None
        and device.content
        and (fs_type == "auto" or not types.fits(fs_type, device.content))
    ):
        fs_type = device.content
    subvolume = [BadOption(w.option, w.reason, w.instead) for w in wrong_subvolumes(device, entry)]
    always = [
        *bad_options(fs_type, entry.options, kernels),
        *refused_by_filesystem(device, entry, kernels),
        *subvolume,
    ]
    remount = attempt(lambda: refused_by_remount(system.boot_loader, device, entry, kernels))
    if isinstance(remount, Unreadable):
        yield Inconclusive("fstab", remount.error.message)
        remount = None
    known = {b.option for b in always}
    bad = [*always, *(b for b in (remount.options if remount is not None else ()) if b.option not in known)]
    if not bad or entry.options_token is None:
        return
    # What subvolume is meant, nobody but a person can say, where no name is near.
    named = all(b.instead is not None for b in subvolume)
    certain = bool(always) or (remount is not None and remount.certain)
    stops = certain and (bool(always) or remount is None or not remount.writable)
    yield BAD_OPTION.finding(
        edits.subject(j.spec),
        f"{j.spec.place}: {_consequence(j, remount if not always else None)}: "
        f"{'; '.join(b.reason for b in bad)}",
        severity=Severity.ERROR if stops else Severity.WARNING,
        evidence=tuple(Evidence(j.spec.place, b.option, b.instead or "no such option") for b in bad),
        repair=_options_repair(
            j, entry, bad, certain=bool(always) or (remount is not None and remount.certain)
        )
        if named
        else edits.manual("name a subvolume that is there"),
    )


def _consequence(j: Judged, remount: Refused | None) -> str:
    if remount is None:
        return f"{j.spec.name} will not be mounted"
    if not remount.certain:
        return "the remount of / fails, and it stays as it was mounted first, unless rootflags= says the same"
    return "the remount of / fails" + ("" if remount.writable else ", and it stays read-only")


def _options_repair(j: Judged, entry: Entry, bad: Sequence[BadOption], *, certain: bool) -> Repair:
    instead = {b.option: b.instead for b in bad}
    kept = [k for o in entry.options if (k := instead.get(o, o)) is not None]
    summary = f"make the options {','.join(kept) or 'defaults'}"
    safety = Safety.SAFE if certain else Safety.REVIEW
    return edits.of_spec(j.spec, summary, safety, edits.set_options(entry, kept))


# --- drivers ------------------------------------------------------------------------


def _unsupported(system: System, j: Judged, kernels: Sequence[KernelModules]) -> Iterator[Finding]:
    fs_type = j.spec.type
    drivers = set(types.MODULES[fs_type])
    if _has_helper(system, fs_type):
        return
    having = [k for k in kernels if drivers & (k.loadable | k.builtin)]
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
