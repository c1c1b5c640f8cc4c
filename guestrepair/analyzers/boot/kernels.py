"""Rules on kernels, their initramfs images and their modules."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.errors import GuestReadError
from guestrepair.formats.bootloader import Word
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    PackagedKind,
    Repair,
    RestoreFile,
    RunGuestProgram,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.boot_loader import BootLoader, Entry
from guestrepair.system.guest_system import System

KERNEL_MISSING = Rule(
    name="boot/kernel-missing",
    summary="a kernel that a boot entry names is missing or damaged",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="The kernel file of a boot entry is not there, is empty, or is shorter than its header says.",
    why="The boot loader stops with 'file not found', or the machine resets when the kernel starts.",
    repair="Restore the packaged file; where the package keeps a copy in /lib/modules, copy that.",
    example="/boot was full while a kernel was being installed.",
    sources=("Linux Documentation/arch/x86/boot.rst", "kernel-install(8)"),
)
INITRAMFS_MISSING = Rule(
    name="boot/initramfs-missing",
    summary="an initramfs that a boot entry names is missing, empty or cut off",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="The initramfs of a boot entry is not there, or does not hold whole cpio archives.",
    why="The kernel finds no root filesystem and panics, or the boot loader stops before it.",
    repair="Rebuild it with the guest's own update-initramfs or dracut; only with --allow-guest-programs.",
    example="The disk was full when update-initramfs ran.",
    sources=("Linux Documentation/driver-api/early-userspace/buffer-format.rst",),
)
MODULES_MISSING = Rule(
    name="boot/modules-missing",
    summary="the default kernel's modules are missing",
    severities=(Severity.ERROR,),
    effect=Effect.STOPS_BOOT,
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/lib/modules/VERSION of the kernel that boots by default is missing, or has no modules.dep.",
    why="No driver beyond those in the initramfs can be loaded: usually no network, so nobody gets in.",
    repair="Restore the kernel package's files; where only modules.dep lacks, run the guest's depmod.",
    example="An old kernel's modules were removed, but it is still the default.",
    sources=("depmod(8)", "modules.dep(5)"),
)
RULES = (KERNEL_MISSING, INITRAMFS_MISSING, MODULES_MISSING)

_NOT_THERE = "it is not there"


def check(context: Context) -> Iterator[Finding | Inconclusive]:
    """All findings on the files of the boot entries; a file that cannot be read does not hide the others."""
    system = context.system
    loader = system.boot_loader
    if not boots_by_itself(loader):
        yield from _no_loader(system)
        return
    seen: set[str] = set()
    for entry in sorted(loader.entries, key=lambda e: not loader.is_default(e)):
        for part in (_kernel, _initrds):
            try:
                yield from part(system, entry, seen)
            except GuestReadError as error:
                yield Inconclusive("boot", error.message)
    if loader.default is not None and loader.default.entry is not None:
        yield from _modules(system, loader.default.entry)


def boots_by_itself(loader: BootLoader) -> bool:
    """A boot loader is configured, or a unified kernel is there."""
    return bool(loader.grub_menus or loader.entries or loader.unified)


def kernel_problem(system: System, entry: Entry) -> str:
    """What is wrong with an entry's kernel; empty when it can be started."""
    word = entry.entry.kernel
    if word is None or "$" in word.text:
        return ""
    path = system.boot_loader.find(word, entry)
    image = system.kernels.image(path) if path is not None else None
    return image.problem if image is not None else _NOT_THERE


def initrd_problem(system: System, entry: Entry, word: Word) -> str:
    """What is wrong with one initramfs of an entry; only the default's content is looked at."""
    if "$" in word.text:
        return ""
    path = system.boot_loader.find(word, entry)
    found = system.files.stat(path) if path is not None else None
    if path is None or found is None:
        return _NOT_THERE
    if not system.boot_loader.is_default(entry):
        return "" if found.size_bytes else "it is empty"
    image = system.kernels.initramfs(path)
    return image.problem if image is not None else _NOT_THERE


def is_complete(system: System, entry: Entry) -> bool:
    """The entry's kernel and initramfs images are there."""
    words = entry.entry.initrds
    return not kernel_problem(system, entry) and not any(initrd_problem(system, entry, w) for w in words)


# --- kernels --------------------------------------------------------------------------


def _wanted_path(system: System, entry: Entry, word: Word) -> GuestPath:
    """Where the file should be: where it is, else in the directory of the candidates that exists."""
    candidates = system.boot_loader.candidates(word, entry)
    found = system.boot_loader.find(word, entry)
    if found is not None:
        return found
    there = [p for p in candidates if system.files.is_directory(p.parent) and p.parent != GuestPath("/")]
    return (there or [*candidates] or [GuestPath("/boot") / GuestPath(word.text).name])[0]


def _kernel(system: System, entry: Entry, seen: set[str]) -> Iterator[Finding]:
    word = entry.entry.kernel
    problem = kernel_problem(system, entry)
    if word is None or not problem:
        return
    path = _wanted_path(system, entry, word)
    if str(path) in seen:
        return
    seen.add(str(path))
    yield KERNEL_MISSING.finding(
        Subject.of_path(path),
        f"the kernel {path} of {_kind(system, entry)} entry '{entry.entry.title}' cannot start: {problem}",
        severity=_severity(system, entry),
        evidence=(
            Evidence(entry.place, f"kernel {word.text}", "a whole kernel image"),
            Evidence(str(path), problem),
        ),
        repair=_kernel_repair(system, path),
    )


def _kind(system: System, entry: Entry) -> str:
    return "default" if system.boot_loader.is_default(entry) else "boot"


def _severity(system: System, entry: Entry) -> Severity:
    return Severity.ERROR if system.boot_loader.is_default(entry) else Severity.WARNING


def _broke_off(system: System, change: RestoreFile) -> bool:
    packaged = system.packaged
    return packaged is not None and packaged.is_unfinished(change.package, change.architecture)


def _kernel_repair(system: System, path: GuestPath) -> Repair:
    packaged = packaged_file(system, path)
    if packaged is not None:
        safety = Safety.REVIEW if _broke_off(system, packaged) else Safety.SAFE
        return Repair(f"restore {path} from its package {packaged.package}", safety, (packaged,))
    copy = system.kernels.kept_copy(path.name.partition("-")[2])
    if copy is not None:
        before = system.kernels.content(path)
        change = WriteFile(path=path, before=before, after=copy[1], mode=0o755, backup=False)
        return Repair(f"copy {copy[0]}, which the package keeps, to {path}", Safety.SAFE, (change,))
    return Repair(
        "reinstall the kernel package, or boot an older entry from the loader's menu", Safety.MANUAL
    )


def packaged_file(system: System, path: GuestPath) -> RestoreFile | None:
    """The change that restores a path from its package; None when no package vouches for its content."""
    return system.packaged.restore(path, PackagedKind.FILE) if system.packaged is not None else None


def _no_loader(system: System) -> Iterator[Finding | Inconclusive]:
    unmounted = [f"{t}: {why}" for t, why in system.unmounted if t in {"/boot", "/boot/efi", "/efi"}]
    if unmounted:
        yield Inconclusive("boot", f"the boot loader's files cannot be seen ({'; '.join(unmounted)})")
        return
    if system.boot_loader.unread_menus:
        return  # a configuration is there, which nobody could read
    kernels = len(system.boot_loader.kernels_in_boot)
    yield KERNEL_MISSING.finding(
        Subject.of_path(GuestPath("/boot")),
        "no boot loader is configured: the guest boots only with a kernel given from outside, "
        "as containers and directly booted machines do",
        severity=Severity.NOTE,
        evidence=(Evidence("/boot", f"{kernels} kernels in /boot, no boot loader configuration"),),
    )


# --- initramfs -------------------------------------------------------------------------


def _initrds(system: System, entry: Entry, seen: set[str]) -> Iterator[Finding | Inconclusive]:
    for word in entry.entry.initrds:
        path = _wanted_path(system, entry, word)
        if str(path) in seen:
            continue
        try:
            problem = initrd_problem(system, entry, word)
        except GuestReadError as error:
            yield Inconclusive("boot", error.message)
            continue
        if not problem:
            continue
        seen.add(str(path))
        kind = _kind(system, entry)
        yield INITRAMFS_MISSING.finding(
            Subject.of_path(path),
            f"initramfs {path} of {kind} entry '{entry.entry.title}' is of no use: {problem}",
            severity=_severity(system, entry),
            evidence=(
                Evidence(entry.place, f"initramfs {word.text}", "whole cpio archives"),
                Evidence(str(path), problem),
            ),
            repair=initramfs_repair(system, entry, path),
        )


def release(system: System, entry: Entry) -> str:
    """The kernel release of an entry: what the image says, else its name; the one that has modules first."""
    word = entry.entry.kernel
    path = system.boot_loader.find(word, entry) if word is not None else None
    image = system.kernels.image(path) if path is not None else None
    named = GuestPath(word.text).name.partition("-")[2] if word is not None else ""
    said = image.release if image is not None else ""
    possible = [v for v in (said, entry.entry.version, named) if v and "/" not in v]
    with_modules = (v for v in possible if system.kernels.modules(v) is not None)
    return next(with_modules, possible[0] if possible else "")


def is_linux(system: System, entry: Entry) -> bool:
    """True for an entry that certainly starts a Linux kernel that is no unified one.

    A test of memory, a tool or another system may be started by the same command.
    """
    word = entry.entry.kernel
    if word is None or word.text.lower().endswith((".efi", ".c32", ".com")):
        return False
    path = system.boot_loader.find(word, entry)
    image = system.kernels.image(path) if path is not None else None
    if image is None or "memtest" in word.text.lower():
        return False
    return bool(image.release) or system.kernels.modules(release(system, entry)) is not None


def initramfs_repair(system: System, entry: Entry, path: GuestPath) -> Repair:
    """How an entry's initramfs is built again at a path."""
    changes = rebuild(system, entry, path, f"{path} is missing or damaged")
    if not changes:
        return Repair("rebuild it in a rescue system with update-initramfs or dracut", Safety.MANUAL)
    name = GuestPath(changes[-1].arguments[0]).name
    return Repair(f"rebuild {path} with the guest's own {name}", Safety.REVIEW, changes)


def rebuild(system: System, entry: Entry, path: GuestPath, reason: str) -> tuple[RunGuestProgram, ...]:
    """The guest's programs that build an entry's initramfs, the last one making it; empty without one."""
    version = release(system, entry)
    if system.kernels.modules(version) is None:
        return ()
    command: tuple[str, ...]
    if system.files.is_file(GuestPath("/usr/sbin/update-initramfs")):
        # -u insists on an image that it made itself; -c makes one whatever is there.
        command = ("/usr/sbin/update-initramfs", "-c", "-k", version)
    elif system.files.is_file(GuestPath("/usr/bin/dracut")):
        command = ("/usr/bin/dracut", "--force", "--no-hostonly", str(path), version)
    else:
        return ()
    making = RunGuestProgram(arguments=command, reason=reason)
    # Without the index the image would be built without a single module, and look whole.
    return (making,) if system.kernels.has_index(version) else (_depmod(system, version), making)


# --- modules ----------------------------------------------------------------------------


def _depmod(system: System, version: str) -> RunGuestProgram:
    index = system.kernels.modules_folder / version / "modules.dep"
    return RunGuestProgram(arguments=("/sbin/depmod", version), reason=f"{index} is not there")


def _modules(system: System, entry: Entry) -> Iterator[Finding]:
    version = release(system, entry)
    if not version:
        return
    directory = system.kernels.modules_folder / version
    if system.kernels.modules(version) is not None:
        if system.kernels.has_index(version):
            return
        subject, observed = directory / "modules.dep", "not there, or empty"
        repair = Repair(f"run the guest's depmod for {version}", Safety.REVIEW, (_depmod(system, version),))
    else:
        if kernel_problem(system, entry) == _NOT_THERE:
            return  # the whole kernel is gone: boot/kernel-missing stands for it
        if not system.files.exists(system.kernels.modules_folder) and not entry.entry.initrds:
            return  # a kernel without modules needs none
        subject, observed = directory, "not there"
        repair = Repair(
            "restore the files of the kernel's package (packages/file-missing), or boot another kernel",
            Safety.MANUAL,
        )
    yield MODULES_MISSING.finding(
        Subject.of_path(subject),
        f"the modules of the default kernel {version} are missing: {subject}",
        evidence=(
            Evidence(str(subject), observed, f"the modules of {version}"),
            Evidence(entry.place, version),
        ),
        repair=repair,
    )
