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
JUDGED = (
    *("data", "commit", "journal_checksum", "journal_async_commit", "journal_dev", "journal_path", "dax"),
    *("nombcache", "no_mbcache", "delalloc", "nodelalloc"),
)
"""Options that are judged here, by the filesystem and by the guest's kernels."""

_FIXED: dict[str, Release] = {
    "dax": (5, 8),
    "nombcache": (4, 13),
    "no_mbcache": (4, 13),
    "nodelalloc": (6, 14),
}
"""From here on a remount that would change it is refused; before, that was ignored, or done."""

_ASKS_FOR_A_JOURNAL: Release = (4, 4)
"""From here on options about a journal are refused where there is none."""

_ASKS_FOR_A_MODE: Release = (4, 1)
"""From here on journal_async_commit is refused with data=ordered."""


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
    if not entry.has(*JUDGED):
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


def refused_by_filesystem(
    device: BlockDevice | None, entry: Entry, kernels: Sequence[Release]
) -> Iterator[BadOption]:
    """The options of a line, not that for ``/``, that are refused by what the filesystem on it is.

    One without a journal refuses what is about a journal; the mode of a journal rules others out.
    """
    if device is None or device.content != "ext4" or device.ext is None or entry.target == "/":
        return
    if device.ext.has_journal:
        mode = _data(entry.options) or _mode(device.ext)
        yield from (
            bad for o in dict.fromkeys(entry.options) if (bad := _by_mode(o, mode, kernels)) is not None
        )
    elif _all_since(kernels, _ASKS_FOR_A_JOURNAL):
        for option in dict.fromkeys(entry.options):
            about = option.partition("=")[0] in {"data", "commit", "journal_checksum", "journal_async_commit"}
            if about and option not in {"commit=5", "commit=0"}:
                yield BadOption(option, f"{option} is refused by a filesystem without a journal")


def _by_mode(option: str, mode: str, kernels: Sequence[Release]) -> BadOption | None:
    """``journal_async_commit`` and a delayed allocation that is asked for are not for every mode."""
    refused = {"journal_async_commit": "ordered", "delalloc": "journal"}.get(option)
    if refused != mode or not _all_since(kernels, _ASKS_FOR_A_MODE):
        return None
    return BadOption(option, f"{option} is refused with data={mode}")


def _booted(boot: BootLoader) -> list[BootLine]:
    """The command line of the entry that is booted; where that is not told, all but those for rescue."""
    entry = boot.default.entry if boot.default is not None else None
    if entry is not None:
        return [BootLine(entry.place, entry.entry.cmdline)]
    return [line for line in boot.lines if not line.is_rescue]


def _refused(
    ext: ExtDetails, entry: Entry, flags: Sequence[str], kernels: Sequence[Release]
) -> Iterator[BadOption]:
    mode = _data(flags) or _mode(ext)
    for option in dict.fromkeys(entry.options):
        key, _, value = option.partition("=")
        if key == "data" and ext.has_journal and value not in {mode, ""}:
            reason = f"/ is mounted with data={mode} first, which a remount cannot change (rootflags= can)"
            yield BadOption(option, reason)
        elif key in {"journal_dev", "journal_path"}:
            yield BadOption(option, f"{key} is refused in a remount, as that of / is")
        elif key in _FIXED and option not in flags and _all_since(kernels, _FIXED[key]):
            if not (key == "nodelalloc" and ext.has_journal and mode == "journal"):  # that has none anyway
                yield BadOption(option, f"/ is mounted without {option} first, which a remount cannot change")
        elif ext.has_journal and (bad := _by_mode(option, mode, kernels)) is not None:
            yield bad


def _mode(ext: ExtDetails) -> str:
    """The journal's mode where no option says another."""
    return _data(split_options(ext.mount_options)) or ext.default_data or "ordered"


def _data(options: Sequence[str]) -> str:
    return next((o.removeprefix("data=") for o in reversed(options) if o.startswith("data=")), "")


def _all_since(kernels: Sequence[Release], since: Release) -> bool:
    return bool(kernels) and min(kernels) >= since
