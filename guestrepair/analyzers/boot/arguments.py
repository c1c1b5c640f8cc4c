"""Words on the default entry's command line with which the guest does not come up as it should.

``panic=``, consoles and their like are anybody's choice. What only a rescue entry has is as it should be.

Sources: kernel-command-line(7); init(8); initramfs-tools(7), ``break``; dracut.cmdline(7), ``rd.break``;
Linux Documentation/admin-guide/kernel-parameters.txt (mem, hugepages, module_blacklist, sysctl.*).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.boot.settings import (
    KERNEL_SETTING,
    drivers_of,
    is_certain,
    of_memory,
    severity_of_pages,
    wanted_modules,
)
from guestrepair.formats.kernel_cmdline import Parameter
from guestrepair.model import (
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.boot_loader import Entry
from guestrepair.system.guest_system import System

_MODES = {
    "single": "single-user mode", "s": "single-user mode", "S": "single-user mode", "-s": "single-user mode",
    "1": "single-user mode", "emergency": "emergency mode", "-b": "emergency mode", "rescue": "rescue mode",
    "rd.break": "a shell in the initramfs", "rd.rescue": "a shell in the initramfs",
    "rd.emergency": "a shell in the initramfs", "break": "a shell in the initramfs",
    "systemd.confirm_spawn": "a question before each program",
}  # fmt: skip
_SYSTEMD_ONLY = frozenset({"emergency", "rescue", "systemd.confirm_spawn"})
_TARGETS = {
    "emergency.target": "emergency mode", "rescue.target": "rescue mode", "runlevel1.target": "rescue mode",
    "halt.target": "a halt", "poweroff.target": "power off", "reboot.target": "a reboot",
    "kexec.target": "a reboot", "runlevel0.target": "power off", "runlevel6.target": "a reboot",
}  # fmt: skip
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh", "sulogin", "busybox"})
_SSH = frozenset({"ssh.service", "sshd.service", "ssh", "sshd"})
_NETWORK = frozenset(
    {
        "NetworkManager",
        "systemd-networkd",
        "networking",
        "network",
        "wicked",
        "dhcpcd",
        "ssh.socket",
        "sshd.socket",
    }
)
_SIZE = re.compile(r"(?P<number>[0-9]{1,15})(?P<unit>[kKmMgGtT]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TINY, _SMALL = 128 << 20, 256 << 20
_BLOCKING = ("module_blacklist", "modprobe.blacklist", "rd.driver.blacklist")
_OFF = frozenset({"0", "no", "false", "off"})


@dataclass(frozen=True, slots=True)
class _Bad:
    """What a word does, as the end of a sentence, and how bad that is."""

    why: str
    severity: Severity = Severity.ERROR


def check(context: Context) -> Iterator[Finding]:
    """One finding for the words of the default entry that should not be there."""
    system = context.system
    default = system.boot_loader.default
    entry = default.entry if default is not None else None
    if entry is None:
        return
    found: list[tuple[Parameter, _Bad]] = []
    for parameter in entry.entry.cmdline.parameters:
        if parameter.name == "--" and parameter.value is None:
            break  # what follows is init's own
        bad = _judged(system, entry, parameter)
        if bad is not None:
            found.append((parameter, bad))
    if found:
        yield _finding(entry, found)


def _judged(system: System, entry: Entry, parameter: Parameter) -> _Bad | None:
    name, value = parameter.name, parameter.value
    if name in _MODES:
        return _mode(system, name, value)
    if value is None:
        return None
    if name in {"systemd.unit", "rd.systemd.unit"}:
        return _target(system, name, value)
    if name == "systemd.mask":
        return _mask(value)
    if name in {"init", "rdinit"}:
        return _init(system, entry, name, value)
    if name == "mem":
        return _memory(value)
    if name == "hugepages":
        return _pages(system, entry, parameter, value)
    if name in _BLOCKING:
        return _blocked(system, entry, name, value)
    if name == "sysctl.kernel.modules_disabled" and value == "1":
        return _Bad("forbids the loading of modules")
    return None


def _mode(system: System, name: str, value: str | None) -> _Bad | None:
    if name in _SYSTEMD_ONLY and not system.systemd.installed:
        return None
    if value is not None and (
        value.lower() in _OFF or name not in {"rd.break", "break", "systemd.confirm_spawn"}
    ):
        return None
    return _Bad(f"ends in {_MODES[name]}")


def _target(system: System, name: str, value: str) -> _Bad | None:
    if value in _TARGETS:
        return _Bad(f"ends in {_TARGETS[value]}")
    missing = name == "systemd.unit" and system.systemd.installed and system.systemd.load(value) is None
    return _Bad(f"names {value}, which is not there") if missing else None


def _mask(value: str) -> _Bad | None:
    if value in _SSH:
        return _Bad("keeps sshd from being started")
    is_network = value.removesuffix(".service") in _NETWORK
    return _Bad("keeps the network from being configured", Severity.WARNING) if is_network else None


def _init(system: System, entry: Entry, name: str, value: str) -> _Bad | None:
    if value.rpartition("/")[2] in _SHELLS:
        return _Bad("starts a shell in place of the system")
    if name == "rdinit" or not value.startswith("/") or entry.entry.cmdline.has("ostree"):
        return None
    path = GuestPath(value)
    found = system.files.stat(path)
    if found is not None and found.is_file and found.permissions & 0o111:
        return None
    if system.unmounted_above(path):
        return None
    # initramfs-tools looks for /sbin/init then; dracut and the kernel by itself give up.
    spare = (
        bool(entry.entry.initrds) and not system.built_in.uses_dracut and system.built_in.uses_initramfs_tools
    )
    severity = Severity.WARNING if spare else Severity.ERROR
    return _Bad("is not there" if found is None else "cannot be run", severity)


def _memory(value: str) -> _Bad | None:
    size = _size(value.partition("@")[0])
    if size is None or size >= _SMALL:
        return None
    why = f"leaves the kernel {size >> 20} MiB of memory"
    return _Bad(why, Severity.ERROR if size < _TINY else Severity.WARNING)


def _size(text: str) -> int | None:
    found = _SIZE.fullmatch(text)
    return None if found is None else int(found["number"]) * _UNITS[found["unit"].upper()]


def _pages(system: System, entry: Entry, parameter: Parameter, value: str) -> _Bad | None:
    """Each ``hugepages=`` counts pages of the ``hugepagesz=`` before it."""
    page = _UNITS["M"] * 2
    for each in entry.entry.cmdline.parameters:
        if each is parameter:
            break
        if each.name in {"hugepagesz", "default_hugepagesz"}:
            page = _size(each.value or "") or page
    size = int(value[:18]) * page if value.isascii() and value.isdecimal() else 0
    if size < _UNITS["G"]:
        return None
    memory = system.kernel_settings.memory_bytes
    severity = severity_of_pages(size, memory)
    why = f"takes {size >> 30} GiB for huge pages; {of_memory(memory)}"
    return None if severity is None else _Bad(why, severity)


def _blocked(system: System, entry: Entry, name: str, value: str) -> _Bad | None:
    drivers = drivers_of(system, entry)
    if drivers is None:
        return None
    wanted = wanted_modules(system, drivers)
    names = {n.replace("-", "_") for n in value.split(",")}
    hit = sorted(names & wanted.keys())
    if not hit:
        return None
    sure = any(is_certain(wanted_name, wanted, names) for wanted_name in hit)
    # Only the kernel itself forbids what is asked for by its own name, as a filesystem's driver is.
    soft = name != "module_blacklist" and all("filesystem" in wanted[n] for n in hit)
    said = ", ".join(f"{n}, the driver of {wanted[n]}" for n in hit)
    return _Bad(f"blocks {said}", Severity.ERROR if sure and not soft else Severity.WARNING)


# --- the finding ---------------------------------------------------------------------------------


def _finding(entry: Entry, found: Sequence[tuple[Parameter, _Bad]]) -> Finding:
    subject = Subject.of_line(entry.path, entry.entry.line)
    said = "; ".join(f"{_word(parameter)} {bad.why}" for parameter, bad in found)
    return KERNEL_SETTING.finding(
        subject,
        f"{subject}: on the command line of the default entry '{entry.entry.title}', {said}",
        severity=min((bad.severity for _, bad in found), key=lambda each: each.rank),
        evidence=tuple(Evidence(subject, _word(p), "a command line without it") for p, _ in found),
        repair=_repair(entry, [parameter for parameter, _ in found]),
    )


def _word(parameter: Parameter) -> str:
    return parameter.name if parameter.value is None else f"{parameter.name}={parameter.value}"


def _repair(entry: Entry, parameters: Sequence[Parameter]) -> Repair:
    words = ", ".join(map(_word, parameters))
    if any(parameter.offset < 0 for parameter in parameters):
        return Repair(f"take {words} out of the variable that GRUB puts in", Safety.MANUAL)
    edits = []
    for parameter in parameters:
        start, end = parameter.offset, parameter.offset + parameter.length
        while entry.data[start - 1 : start] in {b" ", b"\t"}:
            start -= 1
        edits.append(Edit(offset=start, length=end - start, text=b""))
    change = EditFile(path=entry.path, before=entry.data, edits=tuple(edits))
    also = "look for it in /etc/default/grub and /etc/kernel/cmdline, too"
    return Repair(f"take {words} out of {entry.path}; {also}", Safety.REVIEW, (change,))
