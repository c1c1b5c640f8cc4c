"""Rules on the boot loader itself, and on which entry it starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.boot.kernels import (
    boots_by_itself,
    initrd_problem,
    is_complete,
    kernel_problem,
    packaged_file,
)
from guestrepair.analyzers.boot.without_initramfs import needs_initramfs
from guestrepair.errors import GuestReadError
from guestrepair.model import (
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    RunGuestProgram,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.boot_loader import BootCodeKind, BootLoader, Entry
from guestrepair.system.boot_loader.default import uses_saved_entry
from guestrepair.system.guest_system import System

LOADER_MISSING = Rule(
    name="boot/loader-missing",
    summary="a stage of the boot loader is missing",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="Boot code, GRUB's core image or modules, or the EFI programs that firmware starts are not there.",
    why="Firmware finds nothing to start, or GRUB stops at its rescue prompt.",
    repair="Restore packaged EFI programs, copy GRUB's to the fallback path, or run the guest's own "
    "grub-install (with --allow-guest-programs).",
    example="mkfs.vfat was run on the EFI system partition.",
    sources=("UEFI specification 2.10, section 3.5.1.1", "GRUB manual, Installing GRUB"),
)
DEFAULT_BROKEN = Rule(
    name="boot/default-entry-broken",
    summary="the entry that boots by default cannot, or there is none",
    severities=(Severity.ERROR, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The boot loader has no entries, or its default lacks files that no package can give back.",
    why="The machine stops in the boot loader, while another entry would boot.",
    repair="Make a complete entry the default; or have the guest write its menu again.",
    example="The newest kernel's initramfs is empty, the one before it is complete.",
    sources=("GRUB manual, Simple configuration", "grub-set-default(8)"),
)
RULES = (LOADER_MISSING, DEFAULT_BROKEN)

_FALLBACK = {"x86_64": "BOOTX64.EFI", "aarch64": "BOOTAA64.EFI", "i686": "BOOTIA32.EFI"}
_GRUB_INSTALL = ("/usr/sbin/grub-install", "/usr/sbin/grub2-install")
_GRUB_MKCONFIG = ("/usr/sbin/grub-mkconfig", "/usr/sbin/grub2-mkconfig")
_PLATFORMS = ("i386-pc", "x86_64-efi", "arm64-efi")


def check_menu(context: Context) -> Iterator[Finding]:
    """All findings on what the loader starts; none where the guest has no configuration of one."""
    yield from _configuration(context.system)
    if boots_by_itself(context.system.boot_loader):
        yield from _default(context.system)


def check_stages(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on the loader's own parts; none where the guest has no configuration of one."""
    if boots_by_itself(context.system.boot_loader):
        bios = state_of_bios(context.system.boot_loader)
        yield from _loader(context.system, bios)


def _first_program(system: System, paths: Sequence[str]) -> str:
    """The first of these programs that the guest has; empty when it has none."""
    return next((path for path in paths if system.files.is_file(GuestPath(path))), "")


# --- menu ------------------------------------------------------------------------------


def _configuration(system: System) -> Iterator[Finding]:
    loader = system.boot_loader
    menus = loader.grub_menus
    installed = next((f for p in _PLATFORMS for f in loader.modules_of_grub(p)), None)
    if loader.entries or loader.unified or not (installed or menus):
        return
    reads_others = any(menu.parsed.includes for menu in menus)
    if loader.unread_menus or (reads_others and not loader.reads_bls):
        return
    path = menus[0].path if menus or installed is None else installed.parent / "grub.cfg"
    observed = "no entry that boots a kernel" if menus else "not there"
    tool = _first_program(system, _GRUB_MKCONFIG)
    repair = Repair("write the menu again in a rescue system with grub-mkconfig", Safety.MANUAL)
    if tool:
        change = RunGuestProgram(arguments=(tool, "-o", str(path)), reason=f"{path}: {observed}")
        repair = Repair(f"have the guest's {GuestPath(tool).name} write {path}", Safety.REVIEW, (change,))
    yield DEFAULT_BROKEN.finding(
        Subject.of_path(path),
        f"GRUB has nothing to boot: {path}: {observed}",
        evidence=(Evidence(str(path), observed, "at least one entry"),),
        repair=repair,
    )


def _default(system: System) -> Iterator[Finding]:
    default = system.boot_loader.default
    entry = default.entry if default is not None else None
    if default is None or entry is None:
        return
    if default.missing:
        yield DEFAULT_BROKEN.finding(
            Subject.of_path(entry.path),
            f"default '{default.missing}' is no entry of the menu: the first boots instead",
            severity=Severity.NOTE,
            evidence=(Evidence(str(entry.path), f"no entry {default.missing}", "an entry of that name"),),
        )
    try:
        reason = _beyond_packages(system, entry)
    except GuestReadError:
        return  # that its files cannot be read is said where they are judged
    if not reason:
        return
    other = next((e for e in system.boot_loader.entries if _may_replace(system, entry, e)), None)
    if other is not None:
        yield _switch(system, entry, other, reason)


def _beyond_packages(system: System, entry: Entry) -> str:
    """Why the default cannot boot, when nothing but the guest's own programs could mend it."""
    problem = kernel_problem(system, entry)
    if problem:
        word = entry.entry.kernel
        paths = system.boot_loader.candidates(word, entry) if word is not None else ()
        return "" if any(packaged_file(system, p) for p in paths) else f"its kernel: {problem}"
    for word in entry.entry.initrds:
        problem = initrd_problem(system, entry, word)
        if problem:
            return f"its initramfs {word.text}: {problem}"
    return ""


def _may_replace(system: System, broken: Entry, other: Entry) -> bool:
    if system.boot_loader.is_default(other) or other.entry.kernel is None:
        return False
    words = {*other.entry.title.lower().split(), other.entry.identifier.lower()}
    rescue = any("recovery" in w or "rescue" in w for w in words) or other.entry.cmdline.has("single")
    same = {w.text for w in other.files} == {w.text for w in broken.files}
    try:
        return not rescue and not same and is_complete(system, other) and not needs_initramfs(system, other)
    except GuestReadError:
        return False  # as above


def _switch(system: System, broken: Entry, other: Entry, reason: str) -> Finding:
    change = _switch_change(system.boot_loader, other)
    name = other.entry.title or other.entry.identifier
    repair = (
        Repair(f"make '{name}' the default", Safety.REVIEW, (change,))
        if change is not None
        else Repair(f"choose '{name}' in the boot loader's menu, then make it the default", Safety.MANUAL)
    )
    return DEFAULT_BROKEN.finding(
        Subject.of_line(broken.path, broken.entry.line),
        f"the default entry '{broken.entry.title}' cannot boot ({reason}); '{name}' is complete",
        evidence=(Evidence(broken.place, reason, "a complete entry"), Evidence(other.place, "complete")),
        repair=repair,
    )


def _switch_change(loader: BootLoader, other: Entry) -> EditFile | None:
    menu = next(iter(loader.grub_menus), None)
    if menu is None:
        return None
    target = _name_in_menu(other)
    block = loader.environment(menu.path)
    if uses_saved_entry(menu) and block is not None:
        after = environment_with(block.data, "saved_entry", target)
        if after is None:
            return None
        edit = Edit(offset=0, length=len(block.data), text=after)
        return EditFile(path=block.path, before=block.data, edits=(edit,), backup=False)
    word = menu.parsed.default
    if word is None or not other.entry.identifier:
        return None
    edit = Edit(offset=word.offset, length=word.length, text=target.encode("utf-8", "surrogateescape"))
    return EditFile(path=menu.path, before=menu.data, edits=(edit,))


def _name_in_menu(entry: Entry) -> str:
    """What GRUB's default must be for an entry: the names of the submenus before its own."""
    said = entry.entry
    menus = zip(said.parent_names, said.parents, strict=True)
    names = [*(name or title for name, title in menus), said.identifier or said.title]
    return ">".join(name.replace(">", ">>") for name in names)


def environment_with(block: bytes, name: str, value: str) -> bytes | None:
    """An environment block of the same size with one value changed (grub-editenv's format); None: no room."""
    header, _, rest = block.partition(b"\n")
    lines = [li for li in rest.split(b"\n") if li and not li.startswith((b"#", name.encode() + b"="))]
    lines.append(f"{name}={value}".encode("utf-8", "surrogateescape"))
    content = header + b"\n" + b"\n".join(lines) + b"\n"
    return content.ljust(len(block), b"#") if len(content) <= len(block) else None


# --- stages -----------------------------------------------------------------------------


def state_of_bios(loader: BootLoader) -> str:
    """The state of the BIOS road: "complete", "none", or what is missing."""
    code = loader.boot_code
    if code is None:
        return "none"
    folders = loader.modules_of_grub("i386-pc")
    if code.kind is BootCodeKind.NONE:
        return f"sector 0 of {code.disk.name} has no boot code" if folders else "none"
    if not code.core_is_whole:
        return f"GRUB's core image at sector {code.core_sector} of {code.disk.name} is gone"
    if code.kind is BootCodeKind.GRUB and folders and not loader.has_normal_module:
        return f"{folders[0]}/normal.mod is not there"
    return "complete"


def _loader(system: System, bios: str) -> Iterator[Finding | Inconclusive]:
    efi = system.boot_loader.efi
    programs = efi.programs if efi is not None else {}
    whole = [path for path, sound in programs.items() if sound]
    broken = [path for path, sound in programs.items() if not sound]
    if bios not in {"complete", "none"}:
        yield _bios_finding(system, bios, uefi_remains=bool(whole))
    severity = Severity.WARNING if bios == "complete" else Severity.ERROR
    for path in broken:
        yield _program_finding(system, path, severity)
    if efi is None:
        return
    for unread in efi.unread:
        yield Inconclusive("boot", unread.error.message)
    efi_installed = bool(system.boot_loader.modules_of_grub("x86_64-efi"))
    if not programs and not efi.unread and (efi_installed or bios == "none"):
        yield _esp_empty(system, efi.target, severity)
    elif whole and not broken and not efi.unread:
        yield from _fallback(system, efi.target, whole)


def _bios_finding(system: System, problem: str, *, uefi_remains: bool) -> Finding:
    code = system.boot_loader.boot_code
    subject = Subject.of_device(code.disk.name) if code is not None else Subject.of_path(GuestPath("/boot"))
    repair = Repair(f"run grub-install {subject} in the guest, from a rescue system", Safety.MANUAL)
    tool = _first_program(system, _GRUB_INSTALL)
    parts = (GuestPath("/usr/lib/grub/i386-pc/kernel.img"), GuestPath("/usr/lib/grub/i386-pc/boot.img"))
    if tool and code is not None and all(system.files.is_file(path) for path in parts):
        change = RunGuestProgram(arguments=(tool, "--target=i386-pc", code.disk.name), reason=problem)
        summary = f"install GRUB on {subject} again with the guest's own {GuestPath(tool).name}"
        repair = Repair(summary, Safety.REVIEW, (change,))
    return LOADER_MISSING.finding(
        subject,
        f"GRUB cannot start by BIOS: {problem}" + ("; UEFI still starts the guest" if uefi_remains else ""),
        evidence=(Evidence(subject, problem, "boot code, core image and modules of GRUB"),),
        repair=repair,
    )


def _program_finding(system: System, path: GuestPath, severity: Severity) -> Finding:
    packaged = packaged_file(system, path)
    repair = (
        Repair(f"restore {path} from its package {packaged.package}", Safety.SAFE, (packaged,))
        if packaged is not None
        else Repair("run grub-install in the guest, or copy the program from a healthy system", Safety.MANUAL)
    )
    return LOADER_MISSING.finding(
        Subject.of_path(path),
        f"the EFI program {path} is damaged: it does not begin as one",
        severity=severity,
        evidence=(Evidence(str(path), "no MZ at its start", "a PE executable"),),
        repair=repair,
    )


def _esp_empty(system: System, target: str, severity: Severity) -> Finding:
    repair = Repair(
        f"run grub-install --efi-directory={target} in the guest, from a rescue system", Safety.MANUAL
    )
    tool = _first_program(system, _GRUB_INSTALL)
    if tool and system.files.is_file(GuestPath("/usr/lib/grub/x86_64-efi/modinfo.sh")):
        # Once under the distribution's name, which the firmware's own boot entries name, and once
        # at the fallback path, which a machine without such entries starts.
        options = ("--target=x86_64-efi", f"--efi-directory={target}", "--no-nvram")
        reason = f"no EFI program under {target}/EFI"
        changes = tuple(
            RunGuestProgram(arguments=(tool, *options, *more), reason=reason)
            for more in ((), ("--removable",))
        )
        summary = f"install GRUB at {target} again with the guest's own {GuestPath(tool).name}"
        repair = Repair(summary, Safety.REVIEW, changes)
    return LOADER_MISSING.finding(
        Subject.of_path(GuestPath(target)),
        f"the EFI system partition at {target} holds no EFI program: nothing for UEFI to start",
        severity=severity,
        evidence=(Evidence(f"{target}/EFI", "no *.efi file", "a boot loader"),),
        repair=repair,
    )


def _fallback(system: System, target: str, whole: list[GuestPath]) -> Iterator[Finding]:
    name = _FALLBACK.get(system.os.arch)
    path = GuestPath(target) / "EFI/BOOT" / (name or "")
    if name is None or any(p.name.upper() == name and p.parent.name.upper() == "BOOT" for p in whole):
        return
    grub = next((p for p in whole if p.name.lower().startswith("grub")), None)
    shim = any(p.name.lower().startswith("shim") for p in whole)
    repair = None
    if grub is not None and not shim:
        content = system.boot_loader.efi_program(grub)
        change = WriteFile(path=path, before=None, after=content, mode=0o700, backup=False)
        repair = Repair(f"copy {grub} to {path}", Safety.REVIEW, (change,))
    yield LOADER_MISSING.finding(
        Subject.of_path(path),
        f"{path} is not there: firmware without boot entries (a moved disk) starts nothing",
        severity=Severity.NOTE,
        evidence=(Evidence(str(path), "not there", "the fallback boot loader"),),
        repair=repair,
    )
