"""Changes: declarations of what must be true before, and what is true afterwards.

``repair/`` is the only part that carries one out. A change is frozen data that can be compared and hashed.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from guestrepair.model.paths import GuestPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replace ``length`` bytes at ``offset`` by ``text``; length 0 inserts."""

    offset: int
    length: int
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeBase:
    """What all changes have: the kind's name in reports, and its place among the others.

    Changes are applied by ``order``: the disk's structure first, then the links and directories that paths go
    through, then content, then attributes. Two changes with one ``acts_on`` must agree, or be made one.
    """

    kind: ClassVar[str]
    order: ClassVar[int]

    @property
    def place(self) -> GuestPath | None:
        """The guest path that it changes; None for devices and programs."""
        return None

    @property
    def block_device(self) -> str:
        """The device that it changes; empty for paths and programs."""
        return ""

    @property
    def acts_on(self) -> tuple[object, ...]:
        """What no other change may act on in another way."""
        return (type(self), self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChange(ChangeBase):
    """A change of one path."""

    path: GuestPath

    @property
    def place(self) -> GuestPath | None:
        """Its path."""
        return self.path

    @property
    def acts_on(self) -> tuple[object, ...]:
        """One attribute, or the directory or link, at its path."""
        return (type(self), self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentChange(PathChange):
    """A change of what a path holds: whatever kind it is, there is one for a path."""

    @property
    def acts_on(self) -> tuple[object, ...]:
        """The content of its path."""
        return (ContentChange, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceChange(ChangeBase):
    """A change of a block device of the guest."""

    device: str

    @property
    def block_device(self) -> str:
        """Its device."""
        return self.device

    @property
    def acts_on(self) -> tuple[object, ...]:
        """The whole device."""
        return (type(self), self.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class EditFile(ContentChange):
    """Edit a text file in place, touching only the bytes named.

    ``before`` is the whole content that must be there. The planner merges the
    edits of all findings on one file (same ``before``) into one write; two
    edits that overlap are a conflict, and the later finding stays open. Owner,
    mode and extended attributes stay. ``backup`` asks for a copy beside the
    file (``NAME.guestrepair-<UTC time>``).
    """

    kind: ClassVar[str] = "write-file"
    order: ClassVar[int] = 6
    before: bytes
    edits: tuple[Edit, ...]
    backup: bool = True

    @property
    def after(self) -> bytes:
        """The content with the edits made."""
        pieces: list[bytes] = []
        position = 0
        for edit in sorted(self.edits, key=lambda e: (e.offset, e.length)):
            pieces += [self.before[position : edit.offset], edit.text]
            position = edit.offset + edit.length
        return b"".join([*pieces, self.before[position:]])


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFile(ContentChange):
    """Create a file, or replace one whole where its content cannot be kept.

    ``before`` is the exact content that must be there (None: the file must not
    exist). ``mode``, ``uid`` and ``gid`` apply to a file that is created; an
    existing one keeps its own, and its extended attributes. ``backup`` asks for
    a copy beside it (``NAME.guestrepair-<UTC time>``).
    """

    kind: ClassVar[str] = "write-file"
    order: ClassVar[int] = 5
    before: bytes | None
    after: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    backup: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMode(PathChange):
    """Set permission bits (07777), where the path has ``before`` now; never follows a link."""

    kind: ClassVar[str] = "set-mode"
    order: ClassVar[int] = 11
    before: int
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOwner(PathChange):
    """Set owner and group, where the path has ``before`` (uid, gid) now; never follows a link."""

    kind: ClassVar[str] = "set-owner"
    order: ClassVar[int] = 10
    before: tuple[int, int]
    after: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCapabilities(PathChange):
    """Set the file capabilities (``security.capability``, raw bytes; empty removes them)."""

    kind: ClassVar[str] = "set-capabilities"
    order: ClassVar[int] = 12
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLabel(PathChange):
    """Set the SELinux label of a path that has ``before`` now ("": none); never follows a link."""

    kind: ClassVar[str] = "set-label"
    order: ClassVar[int] = 12
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDirectory(PathChange):
    """Create a directory that is not there, with its parents (0755 root:root) where they lack.

    ``replace`` names what may stand in its place and is renamed away first: "" (nothing) or "file".
    """

    kind: ClassVar[str] = "make-directory"
    order: ClassVar[int] = 2
    mode: int
    uid: int = 0
    gid: int = 0
    replace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeLink(PathChange):
    """Create a symbolic link; ``before`` is the wrong target there now (None: nothing is there)."""

    kind: ClassVar[str] = "make-link"
    order: ClassVar[int] = 3
    target: str
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFile(ContentChange):
    """Remove a regular file or symbolic link; content goes to the undo data, and a copy stays beside it.

    ``aside`` comes before the copy's name, where a program takes whatever begins as the file does.
    """

    kind: ClassVar[str] = "remove-file"
    order: ClassVar[int] = 8
    backup: bool = True
    aside: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyFile(ContentChange):
    """Cut a regular file of ``before_bytes`` bytes to none; mode, owner and label stay, and no copy is made.

    For what must stay there for the program that writes it: a log, the machine's id.
    """

    kind: ClassVar[str] = "empty-file"
    order: ClassVar[int] = 8
    before_bytes: int


class PackagedKind(enum.StrEnum):
    """What a package database says that a path is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreFile(ContentChange):
    """Bring a packaged file back from a source whose digest the guest's own database vouches for.

    ``digest`` is ``algorithm:hex`` from the guest's package database, empty where
    the database has none (then the source's package version must be equal).
    Mode, owner, link target, capabilities and mtime are the database's where it has
    them (rpm, apk, pacman), else None: then the source's own apply.
    """

    kind: ClassVar[str] = "restore-file"
    order: ClassVar[int] = 4
    package: str
    version: str
    architecture: str
    digest: str = ""
    file_kind: PackagedKind = PackagedKind.FILE
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    link_target: str | None = None
    capabilities: str | None = None
    mtime: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreAttributes(PathChange):
    """Put mode, owner and capabilities of one packaged path back; values None are taken from a source.

    Used where the guest's database has no modes (dpkg): the .deb or the donor decides.
    """

    kind: ClassVar[str] = "restore-attributes"
    order: ClassVar[int] = 9
    package: str
    version: str
    architecture: str
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    capabilities: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RpmRecord:
    """One record of an rpm database, by its number and what it is of."""

    number: int
    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseRecords(ContentChange):
    """Erase records of packages from an rpm database in sqlite (its main file is ``path``); no file goes.

    Each must be there, of that name, version and architecture, and another record of the same name stay.
    """

    kind: ClassVar[str] = "erase-records"
    order: ClassVar[int] = 7
    records: tuple[RpmRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBytes(DeviceChange):
    """Overwrite bytes of a block device of the guest (partition tables, superblocks).

    ``before`` is what must be there now, of the same length as ``after``; the offset is in bytes.
    """

    kind: ClassVar[str] = "write-bytes"
    order: ClassVar[int] = 0
    offset_bytes: int
    before: bytes
    after: bytes
    what: str

    @property
    def acts_on(self) -> tuple[object, ...]:
        """Those bytes."""
        return (WriteBytes, self.device, self.offset_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFsck(DeviceChange):
    """Run the filesystem's own checker in the appliance, on the overlay, with repair allowed."""

    kind: ClassVar[str] = "run-fsck"
    order: ClassVar[int] = 1
    filesystem: str
    backup_superblock: int | None = None
    block_size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateHostKey(PathChange):
    """Generate a new ssh host key pair on this host and write both halves into the guest."""

    kind: ClassVar[str] = "generate-host-key"
    order: ClassVar[int] = 7
    key_type: str
    mode: int = 0o600
    gid: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGuestProgram(ChangeBase):
    """Run a program of the guest itself in the appliance, without network; asked for by name only."""

    kind: ClassVar[str] = "run-guest-program"
    order: ClassVar[int] = 13
    arguments: tuple[str, ...]
    reason: str


Change: TypeAlias = (
    EditFile
    | WriteFile
    | SetMode
    | SetOwner
    | SetCapabilities
    | SetLabel
    | MakeDirectory
    | MakeLink
    | RemoveFile
    | EmptyFile
    | RestoreFile
    | RestoreAttributes
    | EraseRecords
    | WriteBytes
    | RunFsck
    | GenerateHostKey
    | RunGuestProgram
)
