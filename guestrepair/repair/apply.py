"""Carrying a plan out on an overlay: recheck each precondition, write, read back.

What is already as a change wants it is left: an earlier step may have brought it
about (a packaged file that comes back has its mode and owner again). Anything else
that is not as the plan was made for stops the repair.

Raises :class:`RepairError` at the first thing that is not as planned; the
caller then drops the overlay, so that the image is as it was.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import singledispatchmethod

from guestrepair.appliance.fsck import repair_filesystem
from guestrepair.appliance.guest_programs import run_guest_program
from guestrepair.errors import GuestReadError, RepairError
from guestrepair.guest.root_filesystems import Root
from guestrepair.guest.view import Stat
from guestrepair.model import (
    EditFile,
    EmptyFile,
    EraseRecords,
    GenerateHostKey,
    GuestPath,
    MakeDirectory,
    MakeLink,
    RemoveFile,
    RestoreAttributes,
    RestoreFile,
    RunFsck,
    RunGuestProgram,
    SetCapabilities,
    SetLabel,
    SetMode,
    SetOwner,
    WriteBytes,
    WriteFile,
)
from guestrepair.packages.sources import SourcedFile
from guestrepair.repair.host_keys import generate_host_key
from guestrepair.repair.plan import Step
from guestrepair.repair.records import erase_records
from guestrepair.repair.removing import empty_file, remove_all
from guestrepair.repair.restoring import Restorer, batches, check_content, restore_attributes
from guestrepair.session.live import LiveGuest
from guestrepair.session.session import Session
from guestrepair.session.writer import Writer

_BULK: dict[type, int] = {RestoreAttributes: 5_000, RemoveFile: 5_000}
MAX_TEXT_BYTES = 16 * 1024 * 1024  # of a file whose whole content a change replaces


def backup_suffix(now: datetime | None = None) -> str:
    """The ending of the copies that stay beside edited files: ``.guestrepair-20261123T040506Z``."""
    return (now or datetime.now(UTC)).strftime(".guestrepair-%Y%m%dT%H%M%SZ")


@dataclass(slots=True)
class Applied:
    """What applying left: the copies in the guest, and what the programs that were run said."""

    backups: list[GuestPath] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    """Program and its own words, for each checker of a filesystem and program of the guest."""


class Applier:
    """Applies steps to one guest mounted read-write."""

    def __init__(self, session: Session, guest: LiveGuest, *, suffix: str) -> None:
        self._session = session
        self._guest = guest
        self._writer = Writer(session.handle, guest)
        self._suffix = suffix
        self._backed_up: set[GuestPath] = set()
        self.backups: list[GuestPath] = []
        self.said: list[tuple[str, str]] = []
        self.restored: dict[GuestPath, str] = {}
        """Digests of the files that were brought back, still to be checked."""

    def apply(self, step: Step) -> None:
        """Apply one step and read it back.

        Raises:
            RepairError: a precondition does not hold, a write failed, or what was read back differs.
        """
        try:
            self._do(step.change, step.source)
        except GuestReadError as error:
            raise RepairError(f"{step.change.kind} {error.message}") from error

    @singledispatchmethod
    def _do(self, change: object, _source: SourcedFile | None) -> None:
        raise RepairError(f"cannot apply a change of kind {type(change).__name__}")

    def _back_up(self, path: GuestPath, *, wanted: bool) -> None:
        if wanted and self._suffix and path not in self._backed_up:
            copy = self._writer.back_up(path, self._suffix)
            self._backed_up.add(path)
            if copy is not None:
                self.backups.append(copy)

    # --- text files -------------------------------------------------------------------

    @_do.register
    def _edit_file(self, change: EditFile, _source: SourcedFile | None) -> None:
        self._expect(self._content(change.path) == change.before, change.path, "its content has changed")
        self._back_up(change.path, wanted=change.backup)
        after = change.after
        self._writer.replace_content(change.path, after)
        self._expect(self._content(change.path) == after, change.path, "it reads back differently")

    @_do.register
    def _write_file(self, change: WriteFile, _source: SourcedFile | None) -> None:
        if change.before is None:
            self._writer.create_file(
                change.path, change.after, mode=change.mode, uid=change.uid, gid=change.gid
            )
        else:
            self._expect(self._content(change.path) == change.before, change.path, "its content has changed")
            self._back_up(change.path, wanted=change.backup)
            self._writer.replace_content(change.path, change.after)
        self._expect(self._content(change.path) == change.after, change.path, "it reads back differently")

    def _content(self, path: GuestPath) -> bytes:
        return self._guest.read(path, limit_bytes=MAX_TEXT_BYTES)

    # --- attributes -------------------------------------------------------------------

    @_do.register
    def _set_mode(self, change: SetMode, _source: SourcedFile | None) -> None:
        now = self._permissions(change.path)
        if now == change.after:
            return
        self._expect(now == change.before, change.path, "its mode has changed")
        self._writer.set_mode(change.path, change.after)
        self._expect(self._permissions(change.path) == change.after, change.path, "the mode did not take")

    @_do.register
    def _set_owner(self, change: SetOwner, _source: SourcedFile | None) -> None:
        now = self._owner(change.path)
        if now == change.after:
            return
        self._expect(now == change.before, change.path, "its owner has changed")
        self._writer.set_owner(change.path, *change.after)
        self._expect(self._owner(change.path) == change.after, change.path, "the owner did not take")

    @_do.register
    def _set_capabilities(self, change: SetCapabilities, _source: SourcedFile | None) -> None:
        now = self._capabilities(change.path)
        if now == change.after:
            return
        self._expect(now == change.before, change.path, "its capabilities changed")
        self._writer.set_capabilities(change)
        self._expect(
            self._capabilities(change.path) == change.after, change.path, "capabilities did not take"
        )

    @_do.register
    def _set_label(self, change: SetLabel, _source: SourcedFile | None) -> None:
        now = self._guest.label(change.path)
        if now == change.after:
            return
        self._expect(now == change.before, change.path, "its label has changed")
        self._writer.set_label(change.path, change.after)
        self._expect(self._guest.label(change.path) == change.after, change.path, "the label did not take")

    def _permissions(self, path: GuestPath) -> int:
        found = self._guest.lstat(path)
        if found is None or found.is_symlink:
            raise GuestReadError(path, "no longer a file or directory")
        return found.permissions

    def _owner(self, path: GuestPath) -> tuple[int, int]:
        found = self._guest.lstat(path)
        if found is None:
            raise GuestReadError(path, "no longer there")
        return found.uid, found.gid

    def _capabilities(self, path: GuestPath) -> bytes:
        return self._guest.xattr(path, "security.capability")

    def _give(self, path: GuestPath, found: Stat, *, mode: int, uid: int, gid: int) -> None:
        """Owner and mode for what is there; the owner first, since setting it takes setuid bits away."""
        if (found.uid, found.gid) != (uid, gid):
            self._writer.set_owner(path, uid, gid)
        if not found.is_symlink and self._permissions(path) != mode:
            self._writer.set_mode(path, mode)

    # --- directories, links, removal ----------------------------------------------------

    @_do.register
    def _make_directory(self, change: MakeDirectory, _source: SourcedFile | None) -> None:
        found = self._guest.lstat(change.path)
        if found is not None and found.is_directory:
            self._give(change.path, found, mode=change.mode, uid=change.uid, gid=change.gid)
            return
        if found is not None:
            self._expect(bool(change.replace), change.path, "something is there already")
            self.backups.append(self._writer.move_away(change.path, self._suffix or backup_suffix()))
        self._writer.make_directory(change.path, mode=change.mode, uid=change.uid, gid=change.gid)
        self._expect(self._permissions(change.path) == change.mode, change.path, "the mode did not take")

    @_do.register
    def _make_link(self, change: MakeLink, _source: SourcedFile | None) -> None:
        found = self._guest.lstat(change.path)
        if found is not None and found.is_symlink and self._guest.readlink(change.path) == change.target:
            return
        if change.before is None:
            self._expect(found is None, change.path, "something is there already")
        else:
            self._expect(
                found is not None and found.is_symlink and self._guest.readlink(change.path) == change.before,
                change.path,
                "the link has changed",
            )
            self._writer.remove(change.path)
        self._writer.make_link(change.path, change.target)
        self._expect(self._guest.readlink(change.path) == change.target, change.path, "the link did not take")

    @_do.register
    def _remove_file(self, change: RemoveFile, _source: SourcedFile | None) -> None:
        found = self._guest.lstat(change.path)
        self._expect(found is not None and not found.is_directory, change.path, "it is not a file any more")
        if change.backup and self._suffix and found is not None and found.is_file:
            self.backups.append(self._writer.move_away(change.path, self._suffix, prefix=change.aside))
        else:
            self._writer.remove(change.path)

    def remove(self, steps: Sequence[Step]) -> None:
        """Remove files and links, those of which no copy stays many at once.

        Raises:
            RepairError: as :meth:`apply`.
        """
        kept = [step for step in steps if self._suffix and getattr(step.change, "backup", False)]
        for step in kept:
            self.apply(step)
        gone = {step.path for step in steps if step.path is not None} - {step.path for step in kept}
        remove_all(self._guest, self._writer, sorted(gone))

    @_do.register
    def _empty_file(self, change: EmptyFile, _source: SourcedFile | None) -> None:
        empty_file(self._guest, self._writer, change)

    # --- packaged files -----------------------------------------------------------------

    @_do.register
    def _restore_file(self, change: RestoreFile, source: SourcedFile | None) -> None:
        self.restore([Step(change, source)])

    def restore(self, steps: Sequence[Step]) -> None:
        """Bring many packaged files back at once, and read back all but their content.

        Raises:
            RepairError: as :meth:`apply`.
        """
        try:
            self.restored |= Restorer(self._guest, self._writer).restore(steps)
        except GuestReadError as error:
            raise RepairError(f"restore-file {error.message}") from error

    @_do.register
    def _restore_attributes(self, change: RestoreAttributes, source: SourcedFile | None) -> None:
        self.apply_attributes([Step(change, source)])

    def apply_attributes(self, steps: Sequence[Step]) -> None:
        """Restore modes and owners of many paths at once, and read all of them back.

        Raises:
            RepairError: as :meth:`apply`.
        """
        restore_attributes(self._guest, self._writer, steps)

    @_do.register
    def _erase_records(self, change: EraseRecords, _source: SourcedFile | None) -> None:
        self._back_up(change.path, wanted=True)
        erase_records(self._guest, self._writer, change)

    # --- keys, filesystems, devices, programs -------------------------------------------

    @_do.register
    def _generate_host_key(self, change: GenerateHostKey, _source: SourcedFile | None) -> None:
        private, public = generate_host_key(change.key_type, self._guest.os.hostname)
        for path, content, mode in (
            (change.path, private, change.mode),
            (change.path.with_name(change.path.name + ".pub"), public, 0o644),
        ):
            if self._guest.lstat(path) is not None:
                self.backups.append(self._writer.move_away(path, self._suffix or backup_suffix()))
            self._writer.create_file(path, content, mode=mode, uid=0, gid=change.gid)

    @_do.register
    def _write_bytes(self, change: WriteBytes, _source: SourcedFile | None) -> None:
        where = f"{change.device} at byte {change.offset_bytes}"
        before = self._guest.read_device(change.device, change.offset_bytes, len(change.before))
        self._expect(before == change.before, where, "it has changed")
        self._writer.write_device(change.device, change.offset_bytes, change.after)
        after = self._guest.read_device(change.device, change.offset_bytes, len(change.after))
        self._expect(after == change.after, where, "it reads back differently")

    @_do.register
    def _run_fsck(self, change: RunFsck, _source: SourcedFile | None) -> None:
        said = repair_filesystem(self._session.toolbox, change)
        self.said.append((f"checker of {change.filesystem} on {change.device}", said))

    @_do.register
    def _run_guest_program(self, change: RunGuestProgram, _source: SourcedFile | None) -> None:
        said = run_guest_program(self._session.handle, change)
        self.said.append((" ".join(change.arguments), said))

    @staticmethod
    def _expect(holds: bool, where: object, problem: str) -> None:
        if not holds:
            raise RepairError(f"{where}: {problem}")


def _apply_files(applier: Applier, steps: Sequence[Step], progress: Callable[[str], None]) -> None:
    """Apply in order; of what one command may have spoilt thousands, many at a time."""
    done = 0
    for kind, group in itertools.groupby(steps, key=lambda s: type(s.change)):
        for chunk in batches(group) if kind is RestoreFile else _chunks(group, _BULK.get(kind, 1)):
            first = chunk[0]
            progress(f"repair {done + 1} of {len(steps)}: {first.change.kind} {first.path or ''}")
            if kind is RestoreFile:
                applier.restore(chunk)
            elif kind is RemoveFile:
                applier.remove(chunk)
            elif kind is RestoreAttributes:
                applier.apply_attributes(chunk)
            else:
                applier.apply(first)
            done += len(chunk)


def _chunks(steps: Iterable[Step], size: int) -> Iterator[list[Step]]:
    stream = iter(steps)
    while chunk := list(itertools.islice(stream, size)):
        yield chunk


def apply_steps(
    session: Session,
    root: Root | None,
    steps: Sequence[Step],
    *,
    suffix: str,
    progress: Callable[[str], None] = lambda _m: None,
) -> Applied:
    """Apply all steps on the overlay, devices first.

    ``suffix`` names the copies beside edited files ("": none). Afterwards nothing is mounted.
    ``root`` is None where no system can be mounted: then every step must be about a device.

    Raises:
        RepairError: something failed; the overlay must be dropped.
    """
    done = Applied()
    devices = [s for s in steps if isinstance(s.change, WriteBytes | RunFsck)]
    files = [s for s in steps if s not in devices]
    if devices:
        on_devices = Applier(session, session.disks_alone(), suffix="")
        for step in devices:
            progress(f"{step.change.kind} {step.change.block_device}")
            on_devices.apply(step)
        done.said += on_devices.said
        session.reread(tables=any(isinstance(s.change, WriteBytes) for s in devices))
    if not files:
        return done
    if root is None:
        raise RepairError("files cannot be changed where no system can be mounted")
    paths = [step.path for step in files if step.path is not None] or [GuestPath("/")]
    programs = any(isinstance(step.change, RunGuestProgram) for step in files)
    try:
        with session.writing(root, paths, everywhere=programs) as guest:
            applier = Applier(session, guest, suffix=suffix)
            _apply_files(applier, files, progress)
    except GuestReadError as error:
        raise RepairError(f"the overlay cannot be written: {error.message}") from error
    if applier.restored:
        progress(f"reading {len(applier.restored)} restored files back")
        check_content(_reread(session, root), applier.restored)
    return Applied(applier.backups, [*done.said, *applier.said])


def _reread(session: Session, root: Root) -> LiveGuest:
    """The system, mounted again.

    Raises:
        RepairError: it does not mount any more.
    """
    try:
        return session.guest(root)
    except GuestReadError as error:
        raise RepairError(f"the repaired overlay cannot be mounted: {error.message}") from error
