"""Options of ext4 that are right or wrong by the filesystem that they are for, and by its being ``/``.

The initramfs, or the kernel, mounts ``/`` as ``root=`` and ``rootflags=`` say, without looking at fstab, and
systemd-remount-fs(8) then remounts it with the options of its line. ext4 refuses the whole remount where one
of them would change the journal's mode, the journal's place or DAX, and ``/`` stays read-only.

A filesystem without a journal refuses, at its first mount, the options that are about one.

Sources: systemd-remount-fs.service(8); ext4(5), data= and rootflags=; tune2fs(8), -o and -E mount_opts; the
kernel's fs/ext4/super.c, ext4_check_opt_consistency(), ext4_parse_param() and __ext4_fill_super(); Linux
Documentation/filesystems/dax.rst.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guestrepair.analyzers.fstab.options import BadOption, Release
from guestrepair.formats.fstab import Entry, split_options
from guestrepair.guest.devices import BlockDevice, ExtDetails
from guestrepair.system.boot_loader import BootLine, BootLoader

_EXT = frozenset({"ext3", "ext4"})
OF_A_JOURNAL = ("data", "commit", "journal_checksum", "journal_async_commit", "dax")
"""Options that are judged by the guest's kernels and by the filesystem."""

_ASKS_FOR_A_JOURNAL: Release = (4, 4)
"""From here on options about a journal are refused where there is none."""

_DAX_IS_FIXED: Release = (5, 8)
"""From here on a remount that changes DAX is refused; before, that was ignored."""


@dataclass(frozen=True, slots=True)
class Refused:
    """What the remount of ``/`` refuses, and how it was mounted first: for writing, and known at all."""

    options: tuple[BadOption, ...]
    writable: bool
    certain: bool


def refused_by_remount(
    boot: BootLoader, device: BlockDevice | None, entry: Entry, kernels: Sequence[Release]
) -> Refused | None:
    """The options of the line for ``/`` that its remount refuses; None where it refuses none.

    Raises:
        GuestReadError: no command line of the boot loader can be read.
    """
    if entry.target != "/" or device is None or device.content not in _EXT or device.ext is None:
        return None
    if not entry.has("data", "journal_dev", "journal_path", "dax"):
        return None
    lines = _booted(boot)
    if not lines and boot.unread:
        raise boot.unread[0].error
    first = [split_options(line.cmdline.get("rootflags") or "") for line in lines] or [()]
    found = [tuple(_refused(device.ext, entry, flags, kernels)) for flags in first]
    if not any(found):
        return None
    return Refused(
        next(bad for bad in found if bad),
        writable=bool(lines) and all(line.cmdline.writable_root for line in lines),
        certain=bool(lines) and all(found),
    )


def refused_without_journal(
    device: BlockDevice | None, entry: Entry, kernels: Sequence[Release]
) -> Iterator[BadOption]:
    """The options about a journal of a filesystem that has none; the remount of ``/`` passes over them."""
    if device is None or device.content != "ext4" or device.ext is None or entry.target == "/":
        return
    if device.ext.has_journal or not _all_since(kernels, _ASKS_FOR_A_JOURNAL):
        return
    for option in dict.fromkeys(entry.options):
        key = option.partition("=")[0]
        if key in OF_A_JOURNAL and key != "dax" and option not in {"commit=5", "commit=0"}:
            yield BadOption(option, f"{option} is refused by a filesystem without a journal")


def _booted(boot: BootLoader) -> list[BootLine]:
    """The command line of the entry that is booted; where that is not told, all but those for rescue."""
    entry = boot.default.entry if boot.default is not None else None
    if entry is not None:
        return [BootLine(entry.place, entry.entry.cmdline)]
    return [line for line in boot.lines if not line.is_rescue]


def _refused(
    ext: ExtDetails, entry: Entry, flags: Sequence[str], kernels: Sequence[Release]
) -> Iterator[BadOption]:
    mode = _data(flags) or _data(split_options(ext.mount_options)) or ext.default_data or "ordered"
    for option in dict.fromkeys(entry.options):
        key, _, value = option.partition("=")
        if key == "data" and ext.has_journal and value not in {mode, ""}:
            reason = f"/ is mounted with data={mode} first, which a remount cannot change (rootflags= can)"
            yield BadOption(option, reason)
        elif key in {"journal_dev", "journal_path"}:
            yield BadOption(option, f"{key} is refused in a remount, as that of / is")
        elif key == "dax" and value != "inode" and option not in flags and _all_since(kernels, _DAX_IS_FIXED):
            yield BadOption(option, f"/ is mounted without {option}, which a remount cannot change")


def _data(options: Sequence[str]) -> str:
    return next((o.removeprefix("data=") for o in reversed(options) if o.startswith("data=")), "")


def _all_since(kernels: Sequence[Release], since: Release) -> bool:
    return bool(kernels) and min(kernels) >= since
