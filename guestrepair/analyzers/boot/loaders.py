"""Rules on the boot loader itself, and on which entry it starts."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.boot.facts import Entry, Facts
from guestrepair.analyzers.boot.kernels import initrd_trouble, is_complete, kernel_trouble, packaged_file
from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import Disk
from guestrepair.guest.view import Guest
from guestrepair.model import (
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    RunGuestProgram,
    Safety,
    Severity,
    WriteFile,
)

LOADER_MISSING = Rule(
    name="boot/loader-missing",
    summary="a stage of the boot loader is missing",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
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
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The boot loader has no entries, or its default lacks files that no package can give back.",
    why="The machine stops in the boot loader, while another entry would boot.",
    repair="Make a complete entry the default; or have the guest write its menu anew.",
    example="The newest kernel's initramfs is empty, the one before it is complete.",
    sources=("GRUB manual, Simple configuration", "grub-set-default(8)"),
)
RULES = (LOADER_MISSING, DEFAULT_BROKEN)

_ESP_TARGETS = ("/boot/efi", "/efi", "/boot")
_FALLBACK = {"x86_64": "BOOTX64.EFI", "aarch64": "BOOTAA64.EFI", "i686": "BOOTIA32.EFI"}
_MAX_EFI_BYTES = 16 * 1024 * 1024
_GRUB_FOLDERS = ("/boot/grub", "/boot/grub2")
_MAX_FOLDERS = 64
_CORE_BYTES = 16 * 1024
"""Looked at of GRUB's core image, of which the smallest has some 24 KiB."""
_GRUB_INSTALL = ("/usr/sbin/grub-install", "/usr/sbin/grub2-install")
_PLATFORMS = ("i386-pc", "x86_64-efi", "arm64-efi")


def check(facts: Facts) -> Iterator[Finding | Inconclusive]:
    """All findings on the loader; none where the guest has no configuration of one."""
    yield from _configuration(facts)
    if not facts.boots_by_itself:
        return
    yield from _default(facts)
    try:
        bios = _bios(facts)
        yield from _loader(facts, bios)
    except GuestReadError as error:
        yield Inconclusive("boot", error.message)


# --- menu ------------------------------------------------------------------------------


def _configuration(facts: Facts) -> Iterator[Finding]:
    guest = facts.guest
    reads_others = any(c.includes or c.uses_bls for _, _, c in facts.configs)
    folders = [f for f in _GRUB_FOLDERS for p in _PLATFORMS if guest.is_directory(GuestPath(f) / p)]
    installed = next(iter(folders), "")
    if facts.entries or facts.unified or not (installed or facts.configs):
        return
    if reads_others and not any(c.uses_bls for _, _, c in facts.configs):
        return
    path = facts.configs[0][0] if facts.configs else GuestPath(installed) / "grub.cfg"
    observed = "no entry that boots a kernel" if facts.configs else "not there"
    tool = next(
        (t for t in ("/usr/sbin/grub-mkconfig", "/usr/sbin/grub2-mkconfig") if guest.is_file(GuestPath(t))),
        "",
    )
    repair = Repair("write the menu anew in a rescue system with grub-mkconfig", Safety.MANUAL)
    if tool:
        change = RunGuestProgram(arguments=(tool, "-o", str(path)), reason=f"{path}: {observed}")
        repair = Repair(f"have the guest's {GuestPath(tool).name} write {path}", Safety.REVIEW, (change,))
    yield Finding(
        rule=DEFAULT_BROKEN.name,
        severity=Severity.ERROR,
        subject=str(path),
        message=f"GRUB has nothing to boot: {path}: {observed}",
        evidence=(Evidence(str(path), observed, "at least one entry"),),
        repair=repair,
    )


def _default(facts: Facts) -> Iterator[Finding]:
    entry = facts.default
    if entry is None:
        return
    if facts.default_missing:
        yield Finding(
            rule=DEFAULT_BROKEN.name,
            severity=Severity.NOTE,
            subject=str(entry.path),
            message=f"default '{facts.default_missing}' is no entry of the menu: the first boots instead",
            evidence=(
                Evidence(str(entry.path), f"no entry {facts.default_missing}", "an entry of that name"),
            ),
        )
    reason = _beyond_packages(facts, entry)
    if not reason:
        return
    other = next((e for e in facts.entries if _may_replace(facts, entry, e)), None)
    if other is not None:
        yield _switch(facts, entry, other, reason)


def _beyond_packages(facts: Facts, entry: Entry) -> str:
    """Why the default cannot boot, when nothing but the guest's own programs could mend it."""
    trouble = kernel_trouble(facts, entry)
    if trouble:
        word = entry.entry.kernel
        paths = list(facts.candidates(word, entry.base)) if word is not None else []
        return "" if any(packaged_file(facts, p) for p in paths) else f"its kernel: {trouble}"
    for word in entry.entry.initrds:
        trouble = initrd_trouble(facts, entry, word)
        if trouble:
            return f"its initramfs {word.text}: {trouble}"
    return ""


def _may_replace(facts: Facts, broken: Entry, other: Entry) -> bool:
    if other.is_default or other.entry.kernel is None:
        return False
    words = {*other.entry.title.lower().split(), other.entry.identifier.lower()}
    rescue = any("recovery" in w or "rescue" in w for w in words) or other.entry.cmdline.has("single")
    files = {w.text for w in (other.entry.kernel, *other.entry.initrds)}
    same = broken.entry.kernel is not None and files == {
        w.text for w in (broken.entry.kernel, *broken.entry.initrds)
    }
    return not rescue and not same and is_complete(facts, other)


def _switch(facts: Facts, broken: Entry, other: Entry, reason: str) -> Finding:
    change = _switch_change(facts, other)
    name = other.entry.title or other.entry.identifier
    repair = (
        Repair(f"make '{name}' the default", Safety.REVIEW, (change,))
        if change is not None
        else Repair(f"choose '{name}' in the boot loader's menu, then make it the default", Safety.MANUAL)
    )
    return Finding(
        rule=DEFAULT_BROKEN.name,
        severity=Severity.ERROR,
        subject=broken.place,
        message=f"the default entry '{broken.entry.title}' cannot boot ({reason}); '{name}' is complete",
        evidence=(Evidence(broken.place, reason, "a complete entry"), Evidence(other.place, "complete")),
        repair=repair,
    )


def _switch_change(facts: Facts, other: Entry) -> EditFile | None:
    identifier = other.entry.identifier or other.entry.title
    config = next((c for c in facts.configs), None)
    if config is None:
        return None
    path, data, parsed = config
    environment = path.with_name("grubenv")
    block = facts.guest.read_if_there(environment)
    if b"${saved_entry}" in data and block is not None:
        after = _environment_with(block, "saved_entry", identifier)
        if after is None:
            return None
        return EditFile(
            path=environment,
            before=block,
            edits=(Edit(offset=0, length=len(block), text=after),),
            backup=False,
        )
    word = parsed.default
    if word is None or not other.entry.identifier:
        return None
    target = identifier
    if other.entry.parents:
        menu = _submenu_identifier(data, other.entry.parents[-1])
        if not menu:
            return None
        target = f"{menu}>{identifier}"
    text = target.encode("utf-8", "surrogateescape")
    return EditFile(path=path, before=data, edits=(Edit(offset=word.offset, length=word.length, text=text),))


def _submenu_identifier(data: bytes, title: str) -> str:
    """A submenu's identifier where its line has one, else its title."""
    for line in data.splitlines():
        text = line.decode("utf-8", "surrogateescape").strip()
        if text.startswith("submenu") and title in text and "$menuentry_id_option" in text:
            return text.rpartition("$menuentry_id_option")[2].strip(" {'\"")
    return title


def _environment_with(block: bytes, name: str, value: str) -> bytes | None:
    """An environment block of the same size with one value changed (grub-editenv's format); None: no room."""
    header, _, rest = block.partition(b"\n")
    lines = [li for li in rest.split(b"\n") if li and not li.startswith((b"#", name.encode() + b"="))]
    lines.append(f"{name}={value}".encode("utf-8", "surrogateescape"))
    content = header + b"\n" + b"\n".join(lines) + b"\n"
    return content.ljust(len(block), b"#") if len(content) <= len(block) else None


# --- stages -----------------------------------------------------------------------------


def _boot_disk(guest: Guest) -> Disk | None:
    source = next((m.source for t in ("/boot", "/") for m in guest.mounts if m.target == t), "")
    device = guest.block.get(source)
    return next((d for d in guest.block.disks if device is not None and d.name == device.disk), None)


def _bios(facts: Facts) -> str:
    """The state of the BIOS road: "complete", "none", or what is missing."""
    guest = facts.guest
    disk = _boot_disk(guest)
    if disk is None:
        return "none"
    sector = guest.read_device(disk.name, 0, 512)
    modules = [f for f in _GRUB_FOLDERS if guest.is_directory(GuestPath(f) / "i386-pc")]
    if b"GRUB " in sector[:440]:
        core = int.from_bytes(sector[0x5C:0x64], "little") * disk.sector_size_bytes
        if _has_hole(guest.read_device(disk.name, core, _CORE_BYTES)):
            return f"GRUB's core image at sector {core // disk.sector_size_bytes} of {disk.name} is gone"
        folders = [GuestPath(f) / "i386-pc" for f in modules]
        if folders and not any(guest.is_file(f / "normal.mod") for f in folders):
            return f"{folders[0]}/normal.mod is not there"
        return "complete"
    if any(sector[:440]):
        return "complete"  # another loader's code
    return f"sector 0 of {disk.name} has no boot code" if modules else "none"


def _has_hole(core: bytes) -> bool:
    """A sector of nothing but zeros: in the part looked at, a core image, which is packed, has none."""
    return not core or any(not any(core[at : at + 512]) for at in range(0, len(core), 512))


def _programs(guest: Guest) -> tuple[str, dict[GuestPath, bool]]:
    """Where the EFI system partition is mounted, and its EFI programs: True where one looks whole."""
    for target in _ESP_TARGETS:
        mounted = any(m.target == target and m.type == "vfat" for m in guest.mounts)
        top = GuestPath(target) / "EFI"
        if not mounted:
            continue
        found = {}
        for folder in guest.listdir(top)[:_MAX_FOLDERS] if guest.is_directory(top) else ():
            for path in (*guest.glob(top / folder, "*.efi"), *guest.glob(top / folder, "*.EFI")):
                found[path] = guest.read_range(path, 0, 2) == b"MZ"
        return target, found
    return "", {}


def _loader(facts: Facts, bios: str) -> Iterator[Finding]:
    guest = facts.guest
    target, programs = _programs(guest)
    efi_installed = any(guest.is_directory(GuestPath(f) / "x86_64-efi") for f in _GRUB_FOLDERS)
    whole = [path for path, sound in programs.items() if sound]
    if bios not in {"complete", "none"}:
        yield _bios_finding(facts, bios, uefi_remains=bool(whole))
    broken = [path for path, sound in programs.items() if not sound]
    severity = Severity.WARNING if bios == "complete" else Severity.ERROR
    for path in broken:
        yield _program_finding(facts, path, severity)
    if target and not whole and not broken and (efi_installed or bios == "none"):
        yield _esp_empty(facts, target, severity)
    elif whole and not broken:
        yield from _fallback(facts, target, whole, severity)


def _bios_finding(facts: Facts, trouble: str, *, uefi_remains: bool) -> Finding:
    disk = _boot_disk(facts.guest)
    name = disk.name if disk is not None else "/boot"
    repair = Repair(f"run grub-install {name} in the guest, from a rescue system", Safety.MANUAL)
    tool = _grub_install(facts.guest)
    modules = (GuestPath("/usr/lib/grub/i386-pc/kernel.img"), GuestPath("/usr/lib/grub/i386-pc/boot.img"))
    if tool and disk is not None and all(facts.guest.is_file(path) for path in modules):
        change = RunGuestProgram(arguments=(tool, "--target=i386-pc", name), reason=trouble)
        repair = Repair(
            f"install GRUB on {name} anew with the guest's own {GuestPath(tool).name}",
            Safety.REVIEW,
            (change,),
        )
    return Finding(
        rule=LOADER_MISSING.name,
        severity=Severity.ERROR,
        subject=name,
        message=f"GRUB cannot start by BIOS: {trouble}"
        + ("; UEFI still starts the guest" if uefi_remains else ""),
        evidence=(Evidence(name, trouble, "boot code, core image and modules of GRUB"),),
        repair=repair,
    )


def _grub_install(guest: Guest) -> str:
    """The guest's program that installs GRUB; empty when there is none."""
    return next((t for t in _GRUB_INSTALL if guest.is_file(GuestPath(t))), "")


def _program_finding(facts: Facts, path: GuestPath, severity: Severity) -> Finding:
    packaged = packaged_file(facts, path)
    repair = (
        Repair(f"restore {path} from its package {packaged.package}", Safety.SAFE, (packaged,))
        if packaged is not None
        else Repair("run grub-install in the guest, or copy the program from a healthy system", Safety.MANUAL)
    )
    return Finding(
        rule=LOADER_MISSING.name,
        severity=severity,
        subject=str(path),
        message=f"the EFI program {path} is damaged: it does not begin as one",
        evidence=(Evidence(str(path), "no MZ at its start", "a PE executable"),),
        repair=repair,
    )


def _esp_empty(facts: Facts, target: str, severity: Severity) -> Finding:
    repair = Repair(
        f"run grub-install --efi-directory={target} in the guest, from a rescue system", Safety.MANUAL
    )
    tool = _grub_install(facts.guest)
    if tool and facts.guest.is_file(GuestPath("/usr/lib/grub/x86_64-efi/modinfo.sh")):
        # Once under the distribution's name, which the firmware's own boot entries name, and once
        # at the fallback path, which a machine without such entries starts.
        options = ("--target=x86_64-efi", f"--efi-directory={target}", "--no-nvram")
        reason = f"no EFI program under {target}/EFI"
        changes = tuple(
            RunGuestProgram(arguments=(tool, *options, *more), reason=reason)
            for more in ((), ("--removable",))
        )
        repair = Repair(
            f"install GRUB at {target} anew with the guest's own {GuestPath(tool).name}",
            Safety.REVIEW,
            changes,
        )
    return Finding(
        rule=LOADER_MISSING.name,
        severity=severity,
        subject=target,
        message=f"the EFI system partition at {target} holds no EFI program: nothing for UEFI to start",
        evidence=(Evidence(f"{target}/EFI", "no *.efi file", "a boot loader"),),
        repair=repair,
    )


def _fallback(facts: Facts, target: str, whole: list[GuestPath], severity: Severity) -> Iterator[Finding]:
    name = _FALLBACK.get(facts.guest.os.arch)
    path = GuestPath(target) / "EFI/BOOT" / (name or "")
    if name is None or any(p.name.upper() == name and p.parent.name.upper() == "BOOT" for p in whole):
        return
    grub = next((p for p in whole if p.name.lower().startswith("grub")), None)
    shim = any(p.name.lower().startswith("shim") for p in whole)
    repair = None
    if grub is not None and not shim:
        content = facts.guest.read(grub, limit_bytes=_MAX_EFI_BYTES)
        change = WriteFile(path=path, before=None, after=content, mode=0o700, backup=False)
        repair = Repair(f"copy {grub} to {path}", Safety.REVIEW, (change,))
    yield Finding(
        rule=LOADER_MISSING.name,
        severity=Severity.NOTE,
        subject=str(path),
        message=f"{path} is not there: firmware without boot entries (a moved disk) starts nothing",
        evidence=(Evidence(str(path), "not there", "the fallback boot loader"),),
        repair=repair,
    )
