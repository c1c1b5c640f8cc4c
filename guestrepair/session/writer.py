"""Writing into a guest that is mounted read-write on an overlay: the only code that changes files of a guest.

Every path has its parents' links resolved inside the guest first; the last
component is never followed unless the method says so. Modes are set
explicitly, since the appliance runs with umask 022.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from guestrepair.appliance.handle import Handle, reading
from guestrepair.disk.temporary import temporary_file
from guestrepair.errors import GuestReadError, RepairError
from guestrepair.formats.capabilities import format_text, parse_xattr
from guestrepair.formats.posix_acl import ACL_ACCESS, acl_text
from guestrepair.guest.selinux import Labels
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath, SetCapabilities
from guestrepair.session.live import LiveGuest

_WRITE_BYTES = 1024 * 1024
_LOCKS = frozenset("ai")
"""append only, immutable: chattr(1)."""


_READ_WHOLE = frozenset({"system-connections", "network-scripts", "network", "crontabs", "cron"})
"""Directories besides those called ``*.d`` in which programs take every name that is not hidden."""


def beside(path: GuestPath, suffix: str, *, prefix: str = "") -> GuestPath:
    """The name of a copy beside a file; hidden where the copy would be read as one more file of settings."""
    directory = path.parent.name
    hidden = "." if directory.endswith(".d") or directory in _READ_WHOLE else ""
    return path.with_name(f"{hidden}{prefix}{path.name}{suffix}")


class Writer:
    """Changes to one guest, which must be mounted read-write where the paths lie.

    Every method raises :class:`GuestReadError` when the appliance refuses, with
    the path; the caller drops the overlay then.
    """

    def __init__(self, handle: Handle, guest: LiveGuest) -> None:
        self._handle = handle
        self._guest = guest
        self._labels: Labels | None = None

    # --- text files -------------------------------------------------------------------

    def replace_content(self, path: GuestPath, content: bytes) -> None:
        """Give an existing regular file (links followed) new content; everything else of it stays."""
        real = self._guest.resolve(path)
        if real is None:
            raise GuestReadError(path, "no such file")
        self._put(real, content)

    def replace_with(self, path: GuestPath, source: Path) -> None:
        """The same with the content of a file of this host, of any size."""
        real = self._guest.resolve(path)
        if real is None:
            raise GuestReadError(path, "no such file")
        with reading(real), self._changeable(real):
            self._handle.upload(str(source), self._inside(real))
        self._guest.forget()

    def create_file(self, path: GuestPath, content: bytes, *, mode: int, uid: int, gid: int) -> None:
        """Create a regular file with that owner, mode and the label of the guest's own policy."""
        real = self._new(path)
        self._put(real, content)
        self._attributes(real, mode=mode, uid=uid, gid=gid)
        self._label(real, mode)

    def back_up(self, path: GuestPath, suffix: str) -> GuestPath | None:
        """Copy a regular file beside itself with all its attributes; None where nothing is there."""
        real = self._guest.resolve(path)
        if real is None:
            return None
        copy = beside(real, suffix)
        with reading(copy):
            self._handle.cp_a(self._inside(real), self._inside(copy))
        self._guest.forget()
        return copy

    def _put(self, real: GuestPath, content: bytes) -> None:
        with reading(real), self._changeable(real):
            if len(content) <= _WRITE_BYTES:
                self._handle.write(self._inside(real), content)
            else:
                with temporary_file() as out:
                    out.write_bytes(content)
                    self._handle.upload(str(out), self._inside(real))
        self._guest.forget()

    @contextmanager
    def _changeable(self, real: GuestPath) -> Iterator[None]:
        """Take the attributes that forbid any change off a file (chattr +i, +a), and put them back after.

        Whoever set them meant programs of the running guest; this change was asked for by name. A filesystem
        without such attributes has nothing to take off. Source: chattr(1).
        """
        inside = self._inside(real)
        found = self._guest.lstat(real)
        try:
            flags = self._handle.get_e2attrs(inside) if found is not None and found.is_file else ""
        except RuntimeError:
            flags = ""
        locks = "".join(sorted(set(flags) & _LOCKS))
        if locks:
            self._handle.set_e2attrs(inside, locks, clear=True)
        try:
            yield
        finally:
            if locks:
                self._handle.set_e2attrs(inside, locks)

    # --- attributes -------------------------------------------------------------------

    def set_mode(self, path: GuestPath, mode: int) -> None:
        """Set the permission bits of something that is no link."""
        with reading(path):
            real = self._existing(path)
            with self._changeable(real):
                self._handle.chmod(mode, self._inside(real))
        self._guest.forget()

    def set_owner(self, path: GuestPath, uid: int, gid: int) -> None:
        """Set owner and group; setuid and setgid bits that the kernel clears then are put back."""
        real = self._lexical(path)
        found = self._guest.lstat(real)
        if found is None:
            raise GuestReadError(path, "no such file")
        with reading(path):
            self._handle.lchown(uid, gid, self._inside(real))
            if not found.is_symlink and found.permissions & 0o6000:
                self._handle.chmod(found.permissions, self._inside(real))
        self._guest.forget()

    def set_attributes(self, real: GuestPath, found: Stat, *, mode: int, uid: int, gid: int) -> None:
        """Owner, group and mode of something that ``found`` describes, in as few calls as that takes.

        Made for many: what was cached of the guest is not dropped, so the caller does that at the end.
        """
        inside = self._inside(self._lexical(real))
        moved = (found.uid, found.gid) != (uid, gid)
        with reading(real):
            if moved:
                self._handle.lchown(uid, gid, inside)
            if not found.is_symlink and (moved or found.permissions != mode):
                self._handle.chmod(mode, inside)  # after chown, which clears setuid

    def set_capabilities(self, change: SetCapabilities) -> None:
        """Set or remove the file capabilities."""
        self._capabilities(self._existing(change.path), change.after)
        self._guest.forget()

    def _capabilities(self, real: GuestPath, value: bytes) -> None:
        with reading(real):
            if value:
                self._handle.cap_set_file(self._inside(real), format_text(parse_xattr(value)))
            else:
                self._handle.lremovexattr("security.capability", self._inside(real))

    def _attributes(self, real: GuestPath, *, mode: int, uid: int, gid: int) -> None:
        with reading(real):
            self._handle.lchown(uid, gid, self._inside(real))
            self._handle.chmod(mode, self._inside(real))  # after chown, which clears setuid

    def set_label(self, path: GuestPath, label: str) -> None:
        """Set the SELinux label of what is there; a link's own."""
        with reading(path):
            inside = self._inside(self._lexical(path))
            self._handle.lsetxattr("security.selinux", label, len(label), inside)
        self._guest.forget()

    def _label(self, real: GuestPath, mode_with_type: int) -> None:
        self._labels = self._labels or Labels(self._guest)
        label = self._labels.of(real, mode_with_type)
        if label:
            with reading(real):
                self._handle.lsetxattr("security.selinux", label, len(label), self._inside(real))

    # --- directories, links, removal ----------------------------------------------------

    def make_directory(self, path: GuestPath, *, mode: int, uid: int, gid: int) -> None:
        """Create a directory, and its parents as 0755 root:root where they lack."""
        for parent in reversed(path.parents):
            if not self._guest.exists(parent):
                self._make_one(parent, 0o755, 0, 0)
        self._make_one(path, mode, uid, gid)

    def _make_one(self, path: GuestPath, mode: int, uid: int, gid: int) -> None:
        real = self._new(path)
        with reading(real):
            self._handle.mkdir_mode(self._inside(real), mode & 0o777)
        self._attributes(real, mode=mode, uid=uid, gid=gid)
        self._guest.forget()
        self._label(real, 0o040000)

    def make_link(self, path: GuestPath, target: str) -> None:
        """Create a symbolic link where nothing is."""
        real = self._new(path)
        with reading(real):
            self._handle.ln_s(target, self._inside(real))
        self._guest.forget()
        self._label(real, 0o120000)

    def move_away(self, path: GuestPath, suffix: str, *, prefix: str = "") -> GuestPath:
        """Rename something to a free name beside it."""
        real = self._lexical(path)
        aside = beside(real, suffix, prefix=prefix)
        with reading(path):
            self._handle.rename(self._inside(real), self._inside(aside))
        self._guest.forget()
        return aside

    def remove(self, path: GuestPath) -> None:
        """Remove a regular file or a symbolic link."""
        self.remove_one_of_many(path)
        self._guest.forget()

    def remove_one_of_many(self, path: GuestPath) -> None:
        """The same; what was cached of the guest is not dropped, so the caller does that at the end."""
        with reading(path):
            self._handle.rm(self._inside(self._lexical(path)))

    def empty(self, path: GuestPath) -> None:
        """Cut an existing regular file, which is no link, to no bytes."""
        real = self._existing(path)
        with reading(path), self._changeable(real):
            self._handle.truncate(self._inside(real))
        self._guest.forget()

    # --- packaged files -----------------------------------------------------------------

    def unpack(self, archive: Path) -> None:
        """Unpack a tar archive of this host at the guest's root: owners by number, modes as they are.

        Its names must be real paths. A file or link in the place of one is replaced.
        """
        with reading("/"):
            self._handle.tar_in(str(archive), self._inside(GuestPath("/")))
        self._guest.forget()

    def label(self, real: GuestPath, mode_with_type: int) -> None:
        """Give something new the label of the guest's own policy, where it has one."""
        self._label(real, mode_with_type)

    def set_xattrs(self, path: GuestPath, values: dict[str, bytes]) -> None:
        """Set extended attributes of a packaged file: capabilities, access control list, plain text ones.

        libguestfs takes any other value only as text.
        """
        real = self._lexical(path)
        for name, value in values.items():
            if name == "security.capability":
                self._capabilities(real, value)
            elif name == ACL_ACCESS:
                with reading(path):
                    self._handle.acl_set_file(self._inside(real), "access", acl_text(value))
            elif b"\0" in value:
                raise RepairError(f"{path}: the attribute {name} is binary and cannot be written")
            else:
                with reading(path):
                    text = value.decode(errors="strict")
                    self._handle.lsetxattr(name, text, len(text), self._inside(real))

    # --- devices ------------------------------------------------------------------------

    def write_device(self, device: str, offset_bytes: int, content: bytes) -> None:
        """Overwrite bytes of a block device, whole or not at all as far as this call can tell."""
        with reading(device):
            written = self._handle.pwrite_device(device, content, offset_bytes)
        if written != len(content):
            raise GuestReadError(device, f"only {written} of {len(content)} bytes could be written")

    # --- paths --------------------------------------------------------------------------

    def _inside(self, real: GuestPath) -> str:
        return self._guest.inside(real)

    def _lexical(self, path: GuestPath) -> GuestPath:
        """Parents resolved, the last component as it is."""
        real = self._guest.resolve_parent(path)
        if real is None:
            raise GuestReadError(path, "its directory is not there")
        return real

    def _existing(self, path: GuestPath) -> GuestPath:
        real = self._lexical(path)
        found = self._guest.lstat(real)
        if found is None or found.is_symlink:
            raise GuestReadError(path, "no such file" if found is None else "a symbolic link now")
        return real

    def _new(self, path: GuestPath) -> GuestPath:
        real = self._lexical(path)
        if self._guest.lstat(real) is not None:
            raise GuestReadError(path, "something is there already")
        return real
