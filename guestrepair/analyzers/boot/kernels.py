"""Rules on kernels, their initramfs images and their modules."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.boot.facts import Entry, Facts
from guestrepair.errors import FormatError, GuestReadError
from guestrepair.formats import initramfs, kernel_image
from guestrepair.formats.bootloader import Word
from guestrepair.model import (
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
    WriteFile,
)

KERNEL_MISSING = Rule(
    name="boot/kernel-missing",
    summary="a kernel that a boot entry names is missing or damaged",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
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
    safeties=(Safety.REVIEW, Safety.MANUAL),
    what="/lib/modules/VERSION of the kernel that boots by default is missing, or has no modules.dep.",
    why="No driver beyond those in the initramfs can be loaded: usually no network, so nobody gets in.",
    repair="Restore the kernel package's files; where only modules.dep lacks, run the guest's depmod.",
    example="An old kernel's modules were removed, but it is still the default.",
    sources=("depmod(8)", "modules.dep(5)"),
)
RULES = (KERNEL_MISSING, INITRAMFS_MISSING, MODULES_MISSING)

_MAX_COPY_BYTES = 64 * 1024 * 1024
_KERNEL_PATTERNS = ("vmlinuz*", "vmlinux*", "bzImage*", "Image*", "kernel*", "linux*")


def check(facts: Facts) -> Iterator[Finding | Inconclusive]:
    """All findings on the files of the boot entries."""
    if not facts.boots_by_itself:
        yield from _no_loader(facts)
        return
    seen: set[str] = set()
    for entry in sorted(facts.entries, key=lambda e: not e.is_default):
        yield from _kernel(facts, entry, seen)
        yield from _initrds(facts, entry, seen)
    if facts.default is not None:
        yield from _modules(facts, facts.default)


def kernel_trouble(facts: Facts, entry: Entry) -> str:
    """What is wrong with an entry's kernel; empty when it can be started."""
    word = entry.entry.kernel
    if word is None or "$" in word.text:
        return ""
    path = facts.find(word, entry.base)
    if path is None:
        return "it is not there"
    found = facts.guest.stat(path)
    size = found.size_bytes if found else 0
    real = facts.guest.resolve(path)
    head = facts.guest.read_range(real, 0, kernel_image.HEAD_BYTES) if real and size else b""
    return kernel_image.problem(head, size)


def initrd_trouble(facts: Facts, entry: Entry, word: Word) -> str:
    """What is wrong with one initramfs of an entry; only the default's content is looked at."""
    if "$" in word.text:
        return ""
    path = facts.find(word, entry.base)
    real = facts.guest.resolve(path) if path is not None else None
    if real is None:
        return "it is not there"
    found = facts.guest.lstat(real)
    size = found.size_bytes if found else 0
    if not entry.is_default:
        return "" if size else "it is empty"
    if real not in facts.troubles:
        facts.troubles[real] = _content_trouble(facts, real, size)
    return facts.troubles[real]


def _content_trouble(facts: Facts, image: GuestPath, size_bytes: int) -> str:
    try:
        return initramfs.problem(partial(facts.guest.read_range, image), size_bytes)
    except FormatError as error:
        facts.unread.append(f"{image}: {error.message}")
        return ""


def is_complete(facts: Facts, entry: Entry) -> bool:
    """The entry's kernel and initramfs images are there."""
    words = entry.entry.initrds
    return not kernel_trouble(facts, entry) and not any(initrd_trouble(facts, entry, w) for w in words)


# --- kernels --------------------------------------------------------------------------


def _wanted_path(facts: Facts, entry: Entry, word: Word) -> GuestPath:
    """Where the file should be: where it is, else in the directory of the candidates that exists."""
    candidates = list(facts.candidates(word, entry.base))
    found = next((p for p in candidates if facts.guest.is_file(p)), None)
    if found is not None:
        return found
    there = [p for p in candidates if facts.guest.is_directory(p.parent) and p.parent != GuestPath("/")]
    return (there or candidates or [GuestPath("/boot") / GuestPath(word.text).name])[0]


def _kernel(facts: Facts, entry: Entry, seen: set[str]) -> Iterator[Finding]:
    word = entry.entry.kernel
    trouble = kernel_trouble(facts, entry)
    if word is None or not trouble:
        return
    path = _wanted_path(facts, entry, word)
    if str(path) in seen:
        return
    seen.add(str(path))
    yield Finding(
        rule=KERNEL_MISSING.name,
        severity=Severity.ERROR if entry.is_default else Severity.WARNING,
        subject=str(path),
        message=f"the kernel {path} of {_kind(entry)} entry '{entry.entry.title}' cannot start: {trouble}",
        evidence=(
            Evidence(entry.place, f"kernel {word.text}", "a whole kernel image"),
            Evidence(str(path), trouble),
        ),
        repair=_kernel_repair(facts, path),
    )


def _kind(entry: Entry) -> str:
    return "default" if entry.is_default else "boot"


def _kernel_repair(facts: Facts, path: GuestPath) -> Repair:
    packaged = packaged_file(facts, path)
    if packaged is not None:
        return Repair(f"restore {path} from its package {packaged.package}", Safety.SAFE, (packaged,))
    version = path.name.partition("-")[2]
    copy = GuestPath("/lib/modules") / version / "vmlinuz"
    found = facts.guest.stat(copy) if version else None
    if found is not None and found.is_file and 0 < found.size_bytes <= _MAX_COPY_BYTES:
        content = facts.guest.read(copy, limit_bytes=_MAX_COPY_BYTES)
        if not kernel_image.problem(content[: kernel_image.HEAD_BYTES], len(content)):
            before = facts.guest.read_if_there(path, limit_bytes=_MAX_COPY_BYTES)
            change = WriteFile(path=path, before=before, after=content, mode=0o755, backup=False)
            return Repair(f"copy {copy}, which the package keeps, to {path}", Safety.SAFE, (change,))
    return Repair(
        "reinstall the kernel package, or boot an older entry from the loader's menu", Safety.MANUAL
    )


def packaged_file(facts: Facts, path: GuestPath) -> RestoreFile | None:
    """The change that restores a path from its package; None when no package vouches for its content."""
    packages = facts.context.packages
    entries = packages.lookup(str(path)) if packages is not None else ()
    owned = next((e for e in entries if e.kind is PackagedKind.FILE and "ghost" not in e.flags), None)
    if owned is None:
        return None
    return RestoreFile(
        path=path,
        package=owned.package.name,
        version=owned.package.version,
        architecture=owned.package.architecture,
        digest=owned.digest,
        mode=owned.mode,
        owner=owned.owner,
        group=owned.group,
    )


def _no_loader(facts: Facts) -> Iterator[Finding | Inconclusive]:
    unmounted = [f"{t}: {why}" for t, why in facts.guest.unmounted if t in {"/boot", "/boot/efi", "/efi"}]
    if unmounted:
        yield Inconclusive("boot", f"the boot loader's files cannot be seen ({'; '.join(unmounted)})")
        return
    boot = GuestPath("/boot")
    kernels = [p for pattern in _KERNEL_PATTERNS for p in facts.guest.glob(boot, pattern)]
    observed = f"{len(kernels)} kernels in /boot, no boot loader configuration"
    yield Finding(
        rule=KERNEL_MISSING.name,
        severity=Severity.NOTE,
        subject="/boot",
        message="no boot loader is configured: the guest boots only with a kernel given from outside, "
        "as containers and directly booted machines do",
        evidence=(Evidence("/boot", observed),),
    )


# --- initramfs -------------------------------------------------------------------------


def _initrds(facts: Facts, entry: Entry, seen: set[str]) -> Iterator[Finding | Inconclusive]:
    for word in entry.entry.initrds:
        path = _wanted_path(facts, entry, word)
        if str(path) in seen:
            continue
        try:
            trouble = initrd_trouble(facts, entry, word)
        except GuestReadError as error:
            yield Inconclusive("boot", error.message)
            continue
        if not trouble:
            continue
        seen.add(str(path))
        yield Finding(
            rule=INITRAMFS_MISSING.name,
            severity=Severity.ERROR if entry.is_default else Severity.WARNING,
            subject=str(path),
            message=f"initramfs {path} of {_kind(entry)} entry '{entry.entry.title}' is of no use: {trouble}",
            evidence=(
                Evidence(entry.place, f"initramfs {word.text}", "whole cpio archives"),
                Evidence(str(path), trouble),
            ),
            repair=_initramfs_repair(facts, entry, path),
        )


def release(facts: Facts, entry: Entry) -> str:
    """The kernel release of an entry: what the image says, else its name; the one that has modules first."""
    word = entry.entry.kernel
    path = facts.find(word, entry.base) if word is not None else None
    real = facts.guest.resolve(path) if path is not None else None
    said = kernel_image.version(facts.guest.read_range(real, 0, kernel_image.HEAD_BYTES)) if real else ""
    named = GuestPath(word.text).name.partition("-")[2] if word is not None else ""
    possible = [v for v in (said, entry.entry.version, named) if v and "/" not in v]
    modules = GuestPath("/lib/modules")
    with_modules = (v for v in possible if facts.guest.is_directory(modules / v))
    return next(with_modules, possible[0] if possible else "")


def _initramfs_repair(facts: Facts, entry: Entry, path: GuestPath) -> Repair:
    version = release(facts, entry)
    command: tuple[str, ...] = ()
    if not version or not facts.guest.is_directory(GuestPath("/lib/modules") / version):
        pass
    elif facts.guest.is_file(GuestPath("/usr/sbin/update-initramfs")):
        # -u insists on an image that it made itself; -c makes one whatever is there.
        command = ("/usr/sbin/update-initramfs", "-c", "-k", version)
    elif facts.guest.is_file(GuestPath("/usr/bin/dracut")):
        command = ("/usr/bin/dracut", "--force", "--no-hostonly", str(path), version)
    if not command:
        return Repair("rebuild it in a rescue system with update-initramfs or dracut", Safety.MANUAL)
    changes: tuple[RunGuestProgram, ...] = (
        RunGuestProgram(arguments=command, reason=f"{path} is missing or damaged"),
    )
    if not _has_index(facts, version):
        # Without the index the image would be built without a single module, and look whole.
        changes = (_depmod(version), *changes)
    return Repair(f"rebuild {path} with the guest's own {GuestPath(command[0]).name}", Safety.REVIEW, changes)


# --- modules ----------------------------------------------------------------------------


def _has_index(facts: Facts, version: str) -> bool:
    directory = GuestPath("/lib/modules") / version
    return any(
        found is not None and found.is_file and found.size_bytes > 0
        for found in (facts.guest.stat(directory / name) for name in ("modules.dep", "modules.dep.bin"))
    )


def _depmod(version: str) -> RunGuestProgram:
    index = GuestPath("/lib/modules") / version / "modules.dep"
    return RunGuestProgram(arguments=("/sbin/depmod", version), reason=f"{index} is not there")


def _modules(facts: Facts, entry: Entry) -> Iterator[Finding]:
    version = release(facts, entry)
    if not version:
        return
    directory = GuestPath("/lib/modules") / version
    if facts.guest.is_directory(directory):
        if _has_index(facts, version):
            return
        subject, observed = directory / "modules.dep", "not there, or empty"
        repair = Repair(f"run the guest's depmod for {version}", Safety.REVIEW, (_depmod(version),))
    else:
        if kernel_trouble(facts, entry) == "it is not there":
            return  # the whole kernel is gone: boot/kernel-missing stands for it
        if not facts.guest.exists(GuestPath("/lib/modules")) and not entry.entry.initrds:
            return  # a kernel without modules needs none
        subject, observed = directory, "not there"
        repair = Repair(
            "restore the files of the kernel's package (packages/file-missing), or boot another kernel",
            Safety.MANUAL,
        )
    yield Finding(
        rule=MODULES_MISSING.name,
        severity=Severity.ERROR,
        subject=str(subject),
        message=f"the modules of the default kernel {version} are missing: {subject}",
        evidence=(
            Evidence(str(subject), observed, f"the modules of {version}"),
            Evidence(entry.place, version),
        ),
        repair=repair,
    )
