"""Entries whose command line names no root once GRUB's variables are put in, and nothing else tells it.

Silent, or inconclusive, where the root may be found another way: a partition of a root's type, a unified
kernel, arguments built into the kernel or its initramfs, a live, OSTree or network boot.

Sources: dracut.cmdline(7) ("No or empty root= argument"); systemd-gpt-auto-generator(8); GRUB manual,
"Environment block"; kernel-install(8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.boot.kernels import is_linux, release
from guestrepair.analyzers.boot.loaders import environment_with
from guestrepair.analyzers.boot.root_names import names_the_root, right_name, root_is_certain
from guestrepair.analyzers.boot.roots import ROOT_WRONG
from guestrepair.analyzers.fstab.checks.rootless import DISCOVERABLE_ROOTS
from guestrepair.formats.kernel_cmdline import CommandLine
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Evidence,
    Finding,
    Inconclusive,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.boot_loader import CommandLineFile, Entry, Kind
from guestrepair.system.guest_system import System

_WAYS = frozenset(
    {
        "boot", "bootfs", "zfs", "nfsroot", "netroot", "nbdroot", "aoeroot", "real_root", "ostree", "rdinit",
        "loop", "roothash", "usrhash", "modloop", "live-media", "toram", "fetch", "install", "liveimg",
        "overlaytmpfs", "iso-scan/filename", "findiso", "fromiso", "squashfs",
    }
)  # fmt: skip
"""Parameters with which live systems, network boots and initramfs images of their own find a root."""
_WAY_PREFIXES = (
    "rd.live", "inst.", "systemd.volatile", "systemd.verity", "alpine_", "archiso", "img_", "gnu.",
    "ignition.", "coreos.", "casper", "rd.systemd.gpt_auto", "systemd.gpt_auto", "cloud-config-url", "root.",
    "talos.",
)  # fmt: skip
_VARIABLE = re.compile(rb"\$\{?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}?(?=[ \t\r\n]|\Z)")
_HARMLESS = frozenset(
    {"tuned_params", "tuned_initrd", "grub_users", "vt_handoff", "gfxpayload", "linux_gfx_mode"}
)
_SPECIAL = re.compile(r"[$\"'\\`;{}\n]")


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """One finding for all entries of this guest that name no root; only a rescue entry is passed over."""
    system = context.system
    loader = system.boot_loader
    if loader.unread_menus or any(target in {"/boot", "/boot/efi", "/efi"} for target, _ in system.unmounted):
        return
    lost = [e for e in loader.entries if _is_ours(system, e) and _has_no_root(e) and not _own_way(system, e)]
    if not lost or _by_partition(system):
        return
    built_in = system.built_in.names_root
    variables = any(_lost_variable(e) is not None for e in lost)
    if built_in or (built_in is None and not variables):
        yield Inconclusive("boot", f"{lost[0].place}: no root=, and the initramfs may have one built in")
        return
    yield _finding(system, sorted(lost, key=lambda e: not loader.is_default(e)))


def _is_ours(system: System, entry: Entry) -> bool:
    kernel = entry.entry.kernel
    if kernel is None or entry.is_rescue or system.boot_loader.find(kernel, entry) is None:
        return False
    return is_linux(system, entry)


def _has_no_root(entry: Entry) -> bool:
    root = entry.entry.root
    return root is None or not root.value


def finds_root_itself(cmdline: CommandLine) -> bool:
    """True for what live systems, OSTree, network boots and initramfs images of their own are told."""
    names = {p.name for p in cmdline.parameters}
    root = cmdline.root or ""
    return (
        bool(names & _WAYS)
        or any(name.startswith(_WAY_PREFIXES) for name in names)
        or (cmdline.get("init") or "").startswith("/nix/store/")  # NixOS: the initramfs has its own fstab
        or root.startswith(("live:", "nfs", "tmpfs", "/dev/nfs", "/dev/ram", "dissect", "casper", "http"))
    )


def _own_way(system: System, entry: Entry) -> bool:
    if finds_root_itself(entry.entry.cmdline):
        return True
    version = release(system, entry)
    if system.built_in.has_arguments(version) or system.built_in.has_initramfs(version):
        return True
    if not entry.entry.initrds and system.built_in.config(version) is None:
        return True  # nobody can say what such a kernel was built with
    unknown = _lost_variable(entry)
    return unknown is not None and unknown != b"kernelopts"


def _lost_variable(entry: Entry) -> bytes | None:
    """A variable of the command line that nothing sets; None when there is none that could hold a root."""
    said = entry.entry
    text = entry.data[said.cmdline_offset : said.cmdline_offset + said.cmdline_length]
    if not said.uses_variables:
        return None
    filled = len([p for p in said.cmdline.parameters if p.offset < 0])
    names = [m["name"] for m in _VARIABLE.finditer(text) if m["name"].decode() not in _HARMLESS]
    return names[0] if names and not filled else None


def _by_partition(system: System) -> bool:
    root = system.mounts.root
    disk = "" if root is None else root.disk
    return any(d.part_type.lower() in DISCOVERABLE_ROOTS for d in system.block.devices if d.disk == disk)


# --- the finding ----------------------------------------------------------------------------


def _finding(system: System, entries: Sequence[Entry]) -> Finding:
    first = entries[0]
    name = _lost_variable(first)
    cause = f": nothing sets ${name.decode()}" if name is not None else ""
    subject = Subject.of_line(first.path, first.entry.line)
    by_default = any(system.boot_loader.is_default(e) for e in entries)
    kind = "default" if by_default else "boot"
    return ROOT_WRONG.finding(
        subject,
        f"{subject}: the command line of the {kind} entry '{first.entry.title}' has no root={cause}",
        severity=Severity.ERROR if by_default else Severity.WARNING,
        evidence=(Evidence(subject, "no root=", "root= and the filesystem of this system"),),
        repair=_repair(system, entries),
        folded=tuple(e.place for e in entries[1:]),
    )


def _repair(system: System, entries: Sequence[Entry]) -> Repair:
    text, source, safety = _right_line(system, entries[0])
    if not text:
        advice = "write root= with the UUID of this system's root filesystem into the entry"
        return Repair(advice, Safety.MANUAL)
    block = _in_environment(system, entries, text)
    changes: list[Change] = [block] if block is not None else []
    if not changes:
        edits = [_in_entry(e, text) for e in entries]
        if any(edit is None for edit in edits):
            return Repair(f"write '{text}' into the entry by hand", Safety.MANUAL)
        changes = _by_file(entries, [edit for edit in edits if edit is not None])
    where = f"kernelopts in {block.path}" if block is not None else "the entries"
    return Repair(f"write the command line of {source} into {where}", safety, tuple(changes))


def _right_line(system: System, entry: Entry) -> tuple[str, str, Safety]:
    """The arguments to write, where they come from, and how safe they are."""
    for file in system.boot_loader.kernel_cmdlines:
        if not isinstance(file, CommandLineFile):
            continue
        text = " ".join(file.data.decode("utf-8", "surrogateescape").split())
        root = file.cmdline.root
        if root and names_the_root(system, root) and not _SPECIAL.search(text):
            return text, str(file.path), Safety.SAFE if root_is_certain(system) else Safety.REVIEW
    name = right_name(system, "", has_initramfs=bool(entry.entry.initrds))
    return (
        (f"root={name} ro", "this system's root filesystem", Safety.REVIEW)
        if name
        else ("", "", Safety.MANUAL)
    )


def _in_environment(system: System, entries: Sequence[Entry], text: str) -> EditFile | None:
    """The environment block with ``kernelopts``, where the menu loads it and all entries use that."""
    menu = next(iter(system.boot_loader.grub_menus), None)
    block = system.boot_loader.environment(menu.path) if menu is not None else None
    if menu is None or block is None or not re.search(rb"(?m)^[^#\n]*\bload_env\b", menu.data):
        return None
    if any(_lost_variable(e) != b"kernelopts" for e in entries):
        return None
    after = environment_with(block.data, "kernelopts", text)
    if after is None or len(block.data) != len(after):
        return None
    edit = Edit(offset=0, length=len(block.data), text=after)
    return EditFile(path=block.path, before=block.data, edits=(edit,), backup=False)


def _in_entry(entry: Entry, text: str) -> Edit | None:
    """The edit of one entry: in place of the lost variable, else before its arguments."""
    said, raw = entry.entry, text.encode("utf-8", "surrogateescape")
    root = said.root
    if root is not None:  # "root=" without a value
        return Edit(offset=root.offset, length=root.length, text=raw) if root.offset >= 0 else None
    if said.cmdline_length:
        end = said.cmdline_offset + said.cmdline_length
        found = next(
            (
                m
                for m in _VARIABLE.finditer(entry.data, said.cmdline_offset, end)
                if m["name"] == _lost_variable(entry)
            ),
            None,
        )
        if found is not None:
            return Edit(offset=found.start(), length=len(found[0]), text=raw)
        return Edit(offset=said.cmdline_offset, length=0, text=raw + b" ")
    if entry.kind is Kind.BLS:
        start = b"" if entry.data.endswith(b"\n") else b"\n"
        return Edit(offset=len(entry.data), length=0, text=start + b"options " + raw + b"\n")
    if said.kernel is None or entry.kind is Kind.EXTLINUX:
        return None
    return Edit(offset=said.kernel.offset + said.kernel.length, length=0, text=b" " + raw)


def _by_file(entries: Sequence[Entry], edits: Sequence[Edit]) -> list[Change]:
    files = {entry.path: entry.data for entry in entries}
    return [
        EditFile(
            path=path, before=data,
            edits=tuple(sorted((e for entry, e in zip(entries, edits, strict=True) if entry.path == path),
                               key=lambda e: e.offset)),
        )
        for path, data in files.items()
    ]  # fmt: skip
