"""Which of the systems on the disks is worked on; and why there is none, in words that help."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from guestrepair.errors import LockedError, NoSystemError
from guestrepair.guest.devices import BlockDevice, BlockDevices
from guestrepair.guest.root_filesystems import Root


def choose(roots: list[Root], *, wanted: str, ask: Callable[[list[Root]], Root | None] | None) -> Root:
    """The root named, the only one, or the one that the user picks.

    Raises:
        NoSystemError: there is none of that name, or several and nobody to ask.
    """
    if wanted:
        named = [r for r in roots if wanted in (r.name, r.device.name, f"UUID={r.device.uuid}")]
        if named:
            return named[0]
        known = ", ".join(r.name for r in roots) or "none"
        raise NoSystemError(f"--root {wanted}: no system there", hint=f"systems found: {known}")
    if len(roots) == 1:
        return roots[0]
    picked = ask(roots) if ask is not None else None
    if picked is None:
        known = ", ".join(f"{r.name} ({r.os.product or 'unknown'})" for r in roots)
        raise NoSystemError(
            f"{len(roots)} systems on the disk: {known}", hint="choose one with --root DEVICE"
        )
    return picked


def why_none(
    block: BlockDevices, locked: Sequence[BlockDevice], not_read: Sequence[tuple[str, str]]
) -> NoSystemError | LockedError:
    """Why there is no system on the disks, in words that help.

    ``locked`` are containers that no key opened, ``not_read`` devices that could not be looked at, with why.
    """
    reasons = dict(not_read)
    untried = [d for d in locked if reasons.get(d.name)]
    if untried and len(untried) == len(locked):
        words = "; ".join(f"{d.name} (UUID {d.uuid}): {reasons[d.name]}" for d in untried)
        return LockedError(
            f"encrypted with LUKS, and no key is tried: {words}",
            hint="if the header is damaged, put a backup of it back: cryptsetup luksHeaderRestore",
        )
    if locked:
        names = ", ".join(f"{d.name} (UUID {d.uuid})" for d in locked)
        return LockedError(
            f"encrypted with LUKS, and no key opens it: {names}",
            hint=f"give the passphrase with --key {locked[0].name}:file:PATH",
        )
    found = [d for d in block.devices if d.content]
    unread = "; ".join(f"{name}: {reason}" for name, reason in not_read)
    if not found and unread:
        return NoSystemError(
            f"nothing on the disk could be read ({unread})", hint="restore it from a backup of the image"
        )
    if not found:
        return NoSystemError(
            "no partition table and no filesystem on the disk",
            hint="is it the right image, and complete? a RAID or LVM set needs its other disks (--disk)",
        )
    words = ", ".join(f"{d.name} {d.content}" for d in found)
    if any(d.content in ("ntfs", "BitLocker", "ReFS") for d in found):
        return NoSystemError(f"no Linux system on the disk, but it looks like Windows: {words}")
    if unread:
        return NoSystemError(f"no Linux system could be read on the disk ({unread})", hint=f"found: {words}")
    return NoSystemError(
        f"no Linux system on the disk: {words}",
        hint="a data disk goes with its system disk: --disk IMAGE",
    )
