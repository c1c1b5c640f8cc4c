"""The rule on what the default entry's initramfs can drive: the disk's controller, the root filesystem."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.boot.kernels import rebuild
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.platforms.model import asked, of_kind
from guestrepair.platforms.parameters import StorageDriver
from guestrepair.system.boot_drivers import BootDrivers
from guestrepair.system.boot_loader import Entry
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.guest_system import System
from guestrepair.system.initramfs_tools import ModulesPolicy
from guestrepair.system.root_needs import Need
from guestrepair.system.storage_buses import BUSES, Bus

LACKS_DRIVER = Rule(
    name="boot/initramfs-lacks-driver",
    summary="the default initramfs cannot reach the root filesystem on the machines that it is for",
    severities=(Severity.WARNING, Severity.ERROR),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="What the default entry's kernel has built in, and what its initramfs holds under that kernel's "
    "release (each module with all that is loaded before it, and none that the initramfs' own "
    "modprobe.d or the command line keeps from being loaded), is held against the root filesystem and "
    "the controllers of virtual machines. Error: the driver of the root filesystem is missing, or the "
    "driver or program of LVM, LUKS or RAID under it: that boots nowhere; root= names a disk that "
    "only a missing driver makes (/dev/vda); or the platform was named, and none of its controllers "
    "is driven. Warning: no controller of any virtual machine is driven, nor one of a server; or the "
    "initramfs was made for many machines (it holds the drivers of two or more of Xen, Hyper-V and "
    "VMware, or those of many servers), and yet lacks virtio, NVMe or SATA, which its kernel has as "
    "modules.",
    why="Kernel and initramfs start, wait for the root filesystem, and give up: 'Gave up waiting for root "
    "file system device' (Debian), 'dracut-initqueue timeout' (RHEL). Most of the migrations that do "
    "not boot end so.",
    repair="Rebuild it with the guest's own tools with the drivers of all machines: MODULES=most in the "
    "configuration of initramfs-tools, which has no option for that, or dracut --no-hostonly; only "
    "with --allow-guest-programs. Where modprobe.d or the command line keeps a module from being "
    "loaded, that is explained and left. An initramfs with the drivers of one machine alone "
    "(MODULES=dep, hostonly) is no fault: it is right where it was made, and nothing in it tells that "
    "the disk has moved since. So one that reaches the disks of one hypervisor, or NVMe alone, is "
    "left in peace unless the platform is named; a driver that is built in counts as any other.",
    example="The guest came from another hypervisor, and its initramfs has pvscsi, and no virtio.",
    sources=(
        "initramfs.conf(5), MODULES",
        "dracut.conf(5), hostonly",
        "modules.dep(5)",
        "modprobe.d(5)",
        "Linux Documentation/driver-api/early-userspace/buffer-format.rst",
    ),
)
RULES = (LACKS_DRIVER,)

_MANY_HYPERVISORS = 2
"""Hypervisors whose drivers in one initramfs show that it was not made for one machine alone."""
_MANY_CONTROLLERS = 8
"""Controllers of servers that show the same; no server has so many kinds."""
_ASKED_OF_MANY = ("virtio-blk", "virtio-scsi", "nvme", "ahci")
_DISK = re.compile(r"/dev/(?:(vd|xvd)[a-z]+\d*|(nvme)\d+n\d+(?:p\d+)?)")
_ELSEWHERE = re.compile(r"/dev/(nfs|ram)|nfs|http|tftp|iscsi|nbd|live|virtiofs|9p|dhcp|zfs")
"""How the value of root= begins where the root filesystem is on no disk, or not on one that can be judged."""


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on what the default entry's initramfs lacks."""
    system = context.system
    drivers = attempt(lambda: system.boot_drivers)
    default = system.boot_loader.default
    if isinstance(drivers, Unreadable):
        return  # the check of the entries' files says so
    if drivers is None or default is None or default.entry is None:
        return
    if drivers.unlisted:
        yield Inconclusive("boot", f"its drivers are not known: {drivers.unlisted}")
        return
    if drivers.has_no_modules:
        return  # a kernel that was built for one machine, and brings all it needs
    judged = _Judged(system, drivers, default.entry)
    found = list(judged.needs())
    if not found and not system.os.arch.startswith("s390"):  # whose buses are not those of others
        found = list(judged.named_disk()) or list(judged.buses(_targets(context)))
    wanted = tuple(name for target in _targets(context) for name in target.platforms)
    # What boots nowhere boots on none of them.
    yield from (each if each.platforms else replace(each, platforms=wanted) for each in found)


@dataclass(frozen=True, slots=True)
class _Target:
    """One set of buses of which one has to be reached; ``platforms`` are those that have it."""

    buses: tuple[str, ...]
    severity: Severity = Severity.ERROR
    platforms: tuple[str, ...] = ()


def _targets(context: Context) -> tuple[_Target, ...]:
    wanted = of_kind(asked(context.platforms, LACKS_DRIVER.name), StorageDriver)
    found = [
        _Target(s.any, each.requirement.severity or Severity.ERROR, each.platforms) for each, s in wanted
    ]
    own = context.options.buses
    return (*([_Target(own)] if own else ()), *found)


def unjudged(context: Context) -> Iterator[Inconclusive]:
    """Platforms whose buses could not be judged: what is driven is not known."""
    wanted = tuple(name for target in _targets(context) for name in target.platforms)
    if not wanted:
        return
    system = context.system
    default, drivers = system.boot_loader.default, attempt(lambda: system.boot_drivers)
    why = ""
    if default is None or default.entry is None:
        why = "no default entry is known"
    elif isinstance(drivers, Unreadable):
        why = drivers.error.message
    elif drivers is None:
        why = "the default entry's kernel or initramfs is not there, or not whole"
    elif drivers.unlisted:
        why = drivers.unlisted
    elif drivers.has_no_modules:
        why = "no list says which drivers its kernel has built in"
    elif system.os.arch.startswith("s390"):
        why = "the buses of s390 are not those of others"
    if why:
        said = f"{', '.join(wanted)}: which disks the initramfs reaches cannot be told: {why}"
        yield Inconclusive("boot", said, platforms=wanted)


class _Judged:
    """One initramfs, held against what it is for."""

    def __init__(self, system: System, drivers: BootDrivers, entry: Entry) -> None:
        self._system = system
        self._drivers = drivers
        self._entry = entry
        self._path = max(drivers.images, key=lambda each: len(each.image.names)).path

    # --- the root filesystem --------------------------------------------------------------

    def needs(self) -> Iterator[Finding]:
        """The driver of the root filesystem, or of what lies under it, is nowhere."""
        if not self._is_own_root():
            return
        missing = [(need, why) for need in self._system.root_needs if (why := self._missing(need))]
        if missing:
            yield self._finding(
                f"cannot mount the root filesystem: {'; '.join(why for _, why in missing)}",
                Severity.ERROR,
                [Evidence(str(self._path), why, need.what) for need, why in missing],
                [name for need, _ in missing for name in need.drivers],
            )

    def _is_own_root(self) -> bool:
        """The entry starts the system that is looked at, by what its root= says."""
        cmdline, block = self._entry.entry.cmdline, self._system.block
        value = cmdline.root or ""
        if cmdline.has("netroot") or _ELSEWHERE.match(value):
            return False
        tag, equals, name = value.partition("=")
        root = next((m.source for m in self._system.mounted if m.target == "/"), "")
        known = block.find(tag, name.strip('"')) if equals and tag in {"UUID", "LABEL", "PARTUUID"} else ()
        return not known or any(device.name == root for device in known)

    def _missing(self, need: Need) -> str:
        drivers = self._drivers
        if not any(drivers.loads(name) for name in need.drivers):
            return f"{'; '.join(self._why_not(need.drivers[-1:]))}, which {need.what} needs"
        if need.programs and drivers.programs and not drivers.programs & set(need.programs):
            if need.what == "RAID" and any(name in drivers.builtin for name in need.drivers):
                return ""  # the kernel may assemble it by itself (Documentation/admin-guide/md.rst)
            return f"{need.programs[0]} is not in it, which {need.what} needs"
        return ""

    def _why_not(self, names: Sequence[str]) -> list[str]:
        drivers = self._drivers
        kept = [
            (name, drivers.blocked[name])
            for name in names
            if name in drivers.inside and name in drivers.blocked
        ]
        absent = [name for name in names if name not in drivers.inside]
        said = [f"{name} is kept from being loaded by {b.how} ({b.place})" for name, b in kept]
        if absent:
            said.append(f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not in it")
        return said or ([f"what {', '.join(names)} needs is not in it"] if names else [])

    # --- the disk ---------------------------------------------------------------------------

    def named_disk(self) -> Iterator[Finding]:
        """root= names a disk as only a driver that is missing names it."""
        value = self._entry.entry.cmdline.root or ""
        bus = bus_of_disk(value)
        if bus is None or self._drivers.reaches(bus):
            return
        yield self._finding(
            f"cannot reach {value}, which root= names: {self._why(bus)}",
            Severity.ERROR,
            [Evidence(self._entry.place, f"root={value}", f"a driver for {bus.title}")],
            self._drivers.missing(bus),
        )

    def buses(self, named: Sequence[_Target]) -> Iterator[Finding]:
        """The controllers of the named platforms, else of all."""
        drivers = self._drivers
        has = drivers.buses
        if named:
            names = {bus.name for bus in has}
            missed = [target for target in named if not names & set(target.buses)]
            if missed:
                wanted = [bus for bus in BUSES if any(bus.name in target.buses for target in missed)]
                yield self._of_targets(wanted, missed)
        elif not has and (not drivers.other_controllers or self._for_many_machines()):
            yield self._of_buses(BUSES, Severity.WARNING)
        elif self._for_many_machines():
            missing = [
                bus
                for bus in BUSES
                if bus.name in _ASKED_OF_MANY and bus not in has and drivers.could_reach(bus)
            ]
            if missing:
                yield self._of_buses(missing, Severity.WARNING)

    def _for_many_machines(self) -> bool:
        """Modules for several hypervisors or servers are inside; what is built in says nothing of that.

        The servers' count only where no hypervisor's disk is reached: one cut down for that may keep many.
        """
        inside = self._drivers.inside.keys()
        reached = {b.hypervisor for b in self._drivers.buses if b.hypervisor and b.own_drivers & inside}
        for_servers = len(self._drivers.other_controllers) >= _MANY_CONTROLLERS
        return len(reached - {"KVM"}) >= _MANY_HYPERVISORS or (not reached and for_servers)

    def _of_targets(self, buses: Sequence[Bus], missed: Sequence[_Target]) -> Finding:
        """One finding for all platforms whose disks are not reached."""
        severity = min((target.severity for target in missed), key=lambda each: each.rank)
        platforms = tuple(name for target in missed for name in target.platforms)
        found = self._of_buses(buses, severity)
        if not platforms:
            return found
        said = (
            f"{found.message}; that is what {', '.join(platforms)} {'has' if len(platforms) == 1 else 'have'}"
        )
        return replace(found, message=said, platforms=platforms)

    def _of_buses(self, buses: Sequence[Bus], severity: Severity) -> Finding:
        drivers = self._drivers
        has = ", ".join(bus.title for bus in drivers.buses) or "no controller of virtual machines"
        wanted = ", ".join(bus.title for bus in buses)
        possible = [bus for bus in buses if drivers.could_reach(bus)]
        missing = list(dict.fromkeys(name for bus in possible for name in drivers.missing(bus)))
        why = "; ".join(self._why_not(missing)) or f"kernel {drivers.release} has no driver for them"
        return self._finding(
            f"reaches disks by {has}, and not by {wanted}: {why}",
            severity,
            [Evidence(str(self._path), f"drivers for {has}", wanted)],
            missing,
        )

    def _why(self, bus: Bus) -> str:
        missing = self._drivers.missing(bus)
        return (
            "; ".join(self._why_not(missing)) if missing else f"kernel {self._drivers.release} has no driver"
        )

    # --- findings ------------------------------------------------------------------------------

    def _finding(
        self, what: str, severity: Severity, evidence: Sequence[Evidence], missing: Sequence[str]
    ) -> Finding:
        drivers, policy = self._drivers, self._policy()
        more: tuple[Evidence, ...] = ()
        if policy is not None:
            more = (Evidence(policy.place, f"MODULES={policy.setting.value}", "MODULES=most"),)
        if drivers.other_releases and not drivers.inside:
            others = ", ".join(drivers.other_releases[:3])
            what += f"; the modules in it are for {others}, and the kernel is {drivers.release}"
        return LACKS_DRIVER.finding(
            Subject.of_path(self._path),
            f"initramfs {self._path} of default entry '{self._entry.entry.title}' {what}",
            severity=severity,
            evidence=(*evidence, *more),
            repair=self._repair(missing, policy),
        )

    def _policy(self) -> ModulesPolicy | None:
        """What has initramfs-tools leave drivers out, if anything does."""
        policy = self._system.initramfs_modules
        return policy if policy is not None and policy.setting.value in {"dep", "list"} else None

    def _repair(self, missing: Sequence[str], policy: ModulesPolicy | None) -> Repair:
        drivers = self._drivers
        kept = [name for name in missing if name in drivers.inside and name in drivers.blocked]
        if kept:
            places = ", ".join(dict.fromkeys(drivers.blocked[name].place for name in kept))
            return Repair(
                f"take away what keeps {', '.join(kept)} from being loaded ({places}), and rebuild the "
                "initramfs",
                Safety.MANUAL,
            )
        if not set(missing) & (drivers.available | drivers.builtin):
            return Repair("install another kernel, one that has the driver", Safety.MANUAL)
        rebuilding = rebuild(self._system, self._entry, self._path, "it lacks drivers")
        if not rebuilding:
            return Repair(
                "rebuild it with the drivers of all machines in a rescue system (update-initramfs with "
                "MODULES=most, dracut --no-hostonly, mkinitcpio -S autodetect)",
                Safety.MANUAL,
            )
        program = rebuilding[-1].arguments[0]
        edits: tuple[Change, ...] = ()
        if policy is not None and program.endswith("update-initramfs"):
            at, size = policy.setting.offset, policy.setting.length
            edit = Edit(offset=at, length=size, text=b"most")
            # A copy beside it would be read as well, and after it.
            alone = policy.path.parent.name == "conf.d"
            edits = (EditFile(path=policy.path, before=policy.data, edits=(edit,), backup=not alone),)
        return Repair(
            f"rebuild {self._path} with the drivers of all machines, with the guest's own "
            f"{GuestPath(program).name}"
            + (f", and MODULES=most in {policy.path}" if edits and policy else ""),
            Safety.REVIEW,
            (*edits, *rebuilding),
        )


def bus_of_disk(path: str) -> Bus | None:
    """The one bus whose disks are called so (``/dev/vda1``); None for other names."""
    match = _DISK.fullmatch(path)
    return next((b for b in BUSES if match and b.disks and b.disks in match.groups()), None)
