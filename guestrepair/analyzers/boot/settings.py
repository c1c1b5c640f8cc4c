"""Settings with which the kernel, told so by a file, keeps boot or login from what they need.

sysctl.d and modprobe.d are judged here, the command line in ``arguments.py``.

Sources: Linux Documentation/admin-guide/sysctl/kernel.rst (modules_disabled), Documentation/admin-guide/mm/
hugetlbpage.rst; sysctl.d(5); modprobe.d(5); initramfs-tools(7) and dracut(8), which copy modprobe.d.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.boot.kernels import release
from guestrepair.guest.devices import BlockDevice, DeviceKind
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.boot_loader import Entry
from guestrepair.system.drivers import KernelModules
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System
from guestrepair.system.mounts.types import MODULES

KERNEL_SETTING = Rule(
    name="boot/kernel-setting",
    summary="a kernel setting keeps boot from what it needs",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="sysctl.d forbids the loading of modules or takes all memory for huge pages; modprobe.d or the "
    "command line blocks the driver of the root filesystem or of a disk controller; the default entry's "
    "command line starts a shell, single-user or emergency mode, masks sshd, names an init or target that "
    "is not there, or leaves hardly any memory.",
    why="The root is not found, no driver for the network comes, memory is used up, or the guest waits at a "
    "prompt that nobody sees.",
    repair="Comment out the line, or take the word out of the command line.",
    example="kernel.modules_disabled=1 in /etc/sysctl.d; init=/bin/bash left after a password was reset",
    sources=(
        "sysctl.d(5)",
        "modprobe.d(5)",
        "kernel-command-line(7)",
        "Linux Documentation/admin-guide/kernel-parameters.txt",
        "Linux Documentation/admin-guide/mm/hugetlbpage.rst",
    ),
)
RULES = (KERNEL_SETTING,)

CONTROLLERS = frozenset(
    {
        "virtio_blk", "virtio_scsi", "virtio_pci", "nvme", "ahci", "sd_mod", "xen_blkfront", "hv_storvsc",
        "vmw_pvscsi",
    }
)  # fmt: skip
"""What reaches the disks of a virtual machine; which of them this one has, only the machine knows."""
_STACKED = {DeviceKind.LOGICAL_VOLUME: "dm_mod", DeviceKind.CRYPT: "dm_crypt", DeviceKind.MD: "md_mod"}
_GIB = 1 << 30
_PAGE = 2 << 20
_PAGES = "vm/nr_hugepages"
_MODULES_DISABLED = "kernel/modules_disabled"


def check(context: Context) -> Iterator[Finding]:
    """All findings on files that set what the kernel does; none where no kernel starts from these disks."""
    system = context.system
    default = system.boot_loader.default
    entry = default.entry if default is not None else None
    if entry is None:
        return
    yield from _modules_disabled(system, entry)
    yield from _huge_pages(system, entry)
    yield from _blocked(system, entry)


# --- sysctl.d ----------------------------------------------------------------------------------


def _modules_disabled(system: System, entry: Entry) -> Iterator[Finding]:
    found = system.kernel_settings.sysctl.get(_MODULES_DISABLED)
    if found is None or found.setting.value != "1":
        return
    drivers = drivers_of(system, entry)
    if drivers is not None and not drivers.loadable:
        return  # all is built in: nothing is forbidden that could be wanted
    yield KERNEL_SETTING.finding(
        Subject.of_line(found.path, found.setting.line),
        f"{found.place} forbids the loading of modules: what is not loaded when it takes effect (drivers "
        "of the network, of further filesystems, the firewall) never is",
        severity=Severity.ERROR if drivers is not None else Severity.WARNING,
        evidence=(Evidence(found.place, "kernel.modules_disabled = 1", "0, or set once all is running"),),
        repair=commented(found.path, found.data, found.setting.offset),
    )


def _huge_pages(system: System, entry: Entry) -> Iterator[Finding]:
    found = system.kernel_settings.sysctl.get(_PAGES)
    if found is None or not found.setting.value.isascii() or not found.setting.value.isdecimal():
        return
    size = int(found.setting.value[:18]) * _page_size(entry)
    if size < _GIB:
        return
    memory = system.kernel_settings.memory_bytes
    severity = severity_of_pages(size, memory)
    if severity is None:
        return
    yield KERNEL_SETTING.finding(
        Subject.of_line(found.path, found.setting.line),
        f"{found.place} takes {size / _GIB:.0f} GiB for huge pages at boot: {of_memory(memory)}",
        severity=severity,
        evidence=(Evidence(found.place, f"vm.nr_hugepages = {found.setting.value}", of_memory(memory)),),
        repair=commented(found.path, found.data, found.setting.offset),
    )


def _page_size(entry: Entry) -> int:
    said = entry.entry.cmdline.get("default_hugepagesz") or ""
    return _GIB if said.upper() in {"1G", "1024M", "1048576K"} else _PAGE


def severity_of_pages(size: int, memory: int) -> Severity | None:
    """How bad it is to take so many bytes; ``memory`` is 0 where nobody knows how much there is."""
    if memory:
        return Severity.ERROR if size > memory * 9 // 10 else None
    if size >= 1024 * _GIB:
        return Severity.ERROR
    return Severity.WARNING if size >= 64 * _GIB else Severity.NOTE


def of_memory(memory: int) -> str:
    """What is known of the machine's memory."""
    if not memory:
        return "how much memory the machine has is not known here"
    return f"the kernel last had {memory / _GIB:.1f} GiB of memory"


# --- modprobe.d ----------------------------------------------------------------------------------


def drivers_of(system: System, entry: Entry) -> KernelModules | None:
    """The modules of an entry's kernel; None where they are not known."""
    version = release(system, entry)
    found = attempt(lambda: system.drivers.of(version))
    return None if isinstance(found, Unreadable) else found


def wanted_modules(system: System, drivers: KernelModules) -> dict[str, str]:
    """Modules between this kernel and its root that are not built in, and what each is for."""
    root = system.mounts.root
    found = dict.fromkeys(CONTROLLERS, "a disk controller")
    if root is not None:
        names = MODULES.get(root.content, ())
        if not set(names) & drivers.builtin:
            found |= {n: f"the root filesystem ({root.content})" for n in names if n in drivers.loadable}
        for device in _under(system, root):
            if device.kind in _STACKED:
                found[_STACKED[device.kind]] = f"the root's {device.kind} device"
    return {n: why for n, why in found.items() if n in drivers.loadable and n not in drivers.builtin}


def _under(system: System, device: BlockDevice) -> list[BlockDevice]:
    """A device and all that it lies on."""
    found, waiting = [], [device]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.append(current)
            waiting += [d for n in current.parents if (d := system.block.get(n)) is not None]
    return found


def is_certain(name: str, wanted: dict[str, str], blocked: set[str]) -> bool:
    """True when boot cannot do without: no disk controller's driver is left, or it is no controller's."""
    others = {n for n in wanted if n in CONTROLLERS - {"sd_mod", "virtio_pci"}}
    return name not in CONTROLLERS or (bool(others) and others <= blocked)


def _blocked(system: System, entry: Entry) -> Iterator[Finding]:
    possible = CONTROLLERS | {*_STACKED.values()} | {name for names in MODULES.values() for name in names}
    blocked_here = [(place, b) for place, b in system.drivers.blocked if b.name in possible]
    drivers = drivers_of(system, entry) if blocked_here else None
    if drivers is None:
        return
    wanted = wanted_modules(system, drivers)
    places = [(place, b) for place, b in blocked_here if b.name in wanted]
    names = {b.name for _, b in places}
    for place, blocked in places:
        path, _, line = place.rpartition(":")
        where, number = GuestPath(path), int(line)
        sure = is_certain(blocked.name, wanted, names)
        # mount asks for a filesystem's driver by its own name, which a blacklist does not forbid.
        soft = blocked.how == "blacklist" and blocked.name in MODULES
        later = not _is_in_image(system, entry, where)
        severity = Severity.ERROR if sure and not soft and not later else Severity.WARNING
        yield KERNEL_SETTING.finding(
            Subject.of_line(where, number),
            f"{place} blocks {blocked.name}, the driver of {wanted[blocked.name]} ({blocked.how})"
            + (": from the next rebuild of the initramfs on" if later else ""),
            severity=severity,
            evidence=(Evidence(place, f"{blocked.how} {blocked.name}", "a driver that may be loaded"),),
            repair=_unblocked(system, where, number),
        )


def _is_in_image(system: System, entry: Entry, path: GuestPath) -> bool:
    """False where the initramfs was made before the file was written, and so does without it."""
    images = [p for w in entry.entry.initrds if (p := system.boot_loader.find(w, entry)) is not None]
    written = system.files.stat(path)
    made = [found.mtime for image in images if (found := system.files.stat(image)) is not None]
    return written is None or not made or written.mtime <= max(made)


def _unblocked(system: System, path: GuestPath, line: int) -> Repair:
    data = system.kernel_settings.text(path)
    offset = 0
    for _ in range(line - 1):
        offset = data.find(b"\n", offset) + 1
        if not offset:
            return Repair(f"take the line out of {path}", Safety.MANUAL)
    repair = commented(path, data, offset)
    summary = f"{repair.summary}; then have the initramfs rebuilt, which holds a copy of it"
    return Repair(summary, repair.safety, repair.changes)


def commented(path: GuestPath, data: bytes, offset: int) -> Repair:
    """A number sign before a line; nothing where the file is a package's own."""
    if path.parts[:2] in {("/", "usr"), ("/", "lib")}:
        return Repair(f"override {path}, which is a package's, by a file of its name in /etc", Safety.MANUAL)
    edit = Edit(offset=offset, length=0, text=b"# ")
    return Repair(
        f"comment out the line in {path}", Safety.REVIEW, (EditFile(path=path, before=data, edits=(edit,)),)
    )
