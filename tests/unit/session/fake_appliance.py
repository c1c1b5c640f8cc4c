"""An appliance that is no machine: libguestfs's calls over directories and files of this host."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from guestrepair.appliance.background import Starting
from guestrepair.appliance.handle import Handle
from guestrepair.appliance.keys import KeyRing
from guestrepair.guest.devices import Disk
from guestrepair.session.host.disks import HostDisks
from guestrepair.session.mount_table import MountTable
from guestrepair.session.session import Session


class FakeAppliance:
    """``trees``: what a device shows when it is mounted. ``devices``: the bytes of each device, in a file.

    ``broken``: what libguestfs says of every call about a device or path, or of one ("ls /etc"). Owners and
    extended attributes are kept here, since nobody but root may set them on a file of this host.
    """

    def __init__(self, trees: Mapping[str, Path], devices: Mapping[str, Path]) -> None:
        self.trees = dict(trees)
        self.devices = dict(devices)
        self.broken: dict[str, str] = {}
        self.inodes = {"files": 30, "ffree": 20}
        self.mounted: dict[str, tuple[str, str]] = {}
        """By mount point: the device or subvolume, and the options."""
        self.points: set[str] = set()
        self.calls: Counter[str] = Counter()
        self.owners: dict[Path, tuple[int, int]] = {}
        self.flags: dict[Path, set[str]] = {}
        """chattr's letters of files; "i" and "a" keep them as they are."""
        self.xattrs: dict[Path, dict[str, bytes]] = {}
        self.arrays: dict[str, list[str]] = {}
        self.volumes: dict[str, list[str]] = {}
        """Physical volumes' UUIDs by logical volume."""
        self.active = False
        """Whether logical volumes were activated: there are no devices of them before."""
        self.keys: dict[str, str] = {}
        """What opens a container, by its device."""
        self.subvolumes: dict[str, list[tuple[str, int]]] = {}
        self.deleted: dict[str, list[tuple[str, int, int]]] = {}
        """Names, flags and times that The Sleuth Kit finds, by device."""
        self.ended = False

    def _asked(self, call: str, *about: str) -> None:
        self.calls[call] += 1
        for name in about:
            reason = self.broken.get(name) or self.broken.get(f"{call} {name}")
            if reason:
                raise RuntimeError(f"{call}: {name}: {reason}")

    def host(self, path: str) -> Path:
        """Where on this host a path of the appliance is."""
        name = max(
            (p for p in self.mounted if f"{path}/".startswith(f"{p.rstrip('/')}/")), key=len, default=""
        )
        if not name:
            raise RuntimeError(f"{path}: nothing is mounted there")
        tree = self.trees[self.mounted[name][0]]
        return tree / path.removeprefix(name).lstrip("/")

    # --- mounts

    def mkmountpoint(self, path: str) -> None:
        self._asked("mkmountpoint", path)
        if path in self.points:
            raise RuntimeError(f"mkmountpoint: {path}: File exists")
        self.points.add(path)

    def mount_options(self, options: str, mountable: str, point: str) -> None:
        self._device("mount_options", mountable)
        if point not in self.points and point != "/" and not self.host(point).is_dir():
            raise RuntimeError(f"mount: {point}: No such file or directory")
        self.mounted[point] = (mountable, options)

    def mount_vfs(self, _options: str, kind: str, _mountable: str, point: str) -> None:
        self._asked("mount_vfs", point)
        empty = next(iter(self.trees.values())).parent / "empty"
        empty.mkdir(exist_ok=True)
        self.trees[kind] = empty
        self.mounted[point] = (kind, "")

    def umount(self, point: str) -> None:
        self._asked("umount", point)
        del self.mounted[point]

    def umount_all(self) -> None:
        self._asked("umount_all", "umount_all")
        self.mounted.clear()

    def mountpoints(self) -> Mapping[str, str]:
        return {what: point for point, (what, _options) in self.mounted.items()}

    def sync(self) -> None:
        self._asked("sync", "sync")

    def shutdown(self) -> None:
        self._asked("shutdown", "shutdown")
        self.ended = True

    def close(self) -> None:
        """Nothing is held."""

    # --- files

    def _stat(self, path: Path) -> Mapping[str, int]:
        found = path.lstat()
        uid, gid = self.owners.get(path, (0, 0))
        return {
            "st_mode": found.st_mode, "st_uid": uid, "st_gid": gid, "st_size": found.st_size,
            "st_mtime_sec": int(found.st_mtime), "st_ctime_sec": 0, "st_ino": found.st_ino,
            "st_nlink": found.st_nlink, "st_dev": 77,
        }  # fmt: skip

    def lstatns(self, path: str) -> Mapping[str, int]:
        self._asked("lstatns", path)
        return self._stat(self.host(path))

    def lstatnslist(self, path: str, names: Sequence[str]) -> list[Mapping[str, int]]:
        self._asked("lstatnslist", path)
        answer = []
        for name in names:
            try:
                if f"{path}/{name}" in self.broken:
                    raise OSError
                answer.append(self._stat(self.host(f"{path}/{name}")))
            except OSError:
                answer.append({"st_ino": -1})
        return answer

    def glob_expand(self, pattern: str) -> list[str]:
        self._asked("glob_expand", "glob_expand")
        found = []
        assert pattern.startswith("/{"), "libguestfs: it is no absolute path"
        for path in (f"/{each}" for each in pattern[2:-1].split(",")):
            with contextlib.suppress(OSError):
                if path in self.broken:
                    raise OSError
                directory = stat.S_ISDIR(self._stat(self.host(path))["st_mode"])
                found.append(f"{path.rstrip('/')}/" if directory else path)
        return found

    def ls(self, path: str) -> list[str]:
        self._asked("ls", path)
        return [os.fsencode(each.name).decode() for each in self.host(path).iterdir()]

    def ls0(self, path: str, out: str) -> None:
        self._asked("ls0")
        Path(out).write_bytes(b"".join(os.fsencode(each.name) + b"\0" for each in self.host(path).iterdir()))

    def readlinklist(self, path: str, names: Sequence[str]) -> list[str]:
        self._asked("readlinklist", path)
        at = [self.host(f"{path}/{name}") for name in names]
        return [str(each.readlink()) if each.is_symlink() else "" for each in at]

    def pread(self, path: str, count: int, offset: int) -> bytes:
        self._asked("pread", path)
        return self.host(path).read_bytes()[offset : offset + count]

    def download_offset(self, path: str, out: str, offset: int, size: int) -> None:
        self._asked("download_offset", path)
        Path(out).write_bytes(self.host(path).read_bytes()[offset : offset + size])

    def tar_out(self, path: str, out: str, *, excludes: Sequence[str]) -> None:
        self._asked("tar_out", path)
        assert not isinstance(excludes, str)
        try:
            with open(out, "wb") as stream, tarfile.open(fileobj=stream, mode="w|") as archive:  # noqa: PTH123
                archive.add(self.host(path), arcname=".")
        except BrokenPipeError as error:
            raise RuntimeError(f"tar_out: {error}") from error

    def checksum(self, kind: str, path: str) -> str:
        self._asked("checksum", path)
        return hashlib.new(kind, self.host(path).read_bytes()).hexdigest()

    def lgetxattrs(self, path: str) -> list[Mapping[str, Any]]:
        self._asked("lgetxattrs", path)
        found = self.xattrs.get(self.host(path), {})
        return [{"attrname": name, "attrval": value} for name, value in found.items()]

    def statvfs(self, path: str) -> Mapping[str, int]:
        self._asked("statvfs", path)
        return {"blocks": 100, "frsize": 4096, "bfree": 50, "bavail": 40, **self.inodes}

    def filesystem_walk(self, device: str) -> list[Mapping[str, Any]]:
        self._asked("filesystem_walk", device)
        return [
            {"tsk_name": name, "tsk_flags": flags, "tsk_ctime_sec": when}
            for name, flags, when in self.deleted.get(device, [])
        ]

    # --- writing

    def write(self, path: str, content: bytes) -> None:
        self._writable("write", path).write_bytes(content)

    def upload(self, source: str, path: str) -> None:
        shutil.copyfile(source, self._writable("upload", path))

    def get_e2attrs(self, path: str) -> str:
        self._asked("get_e2attrs", path)
        return "".join(sorted(self.flags.get(self.host(path), {"e"})))

    def set_e2attrs(self, path: str, letters: str, *, clear: bool = False) -> None:
        self._asked("set_e2attrs", path)
        flags = self.flags.setdefault(self.host(path), {"e"})
        (flags.difference_update if clear else flags.update)(letters)

    def _writable(self, call: str, path: str) -> Path:
        self._asked(call, path)
        found = self.host(path)
        if self.flags.get(found, set()) & set("ai"):
            raise RuntimeError(f"{call}: {path}: Operation not permitted")
        point = max((p for p in self.mounted if f"{path}/".startswith(f"{p.rstrip('/')}/")), key=len)
        if not self.mounted[point][1].startswith("rw"):
            raise RuntimeError(f"{call}: {path}: Read-only file system")
        return found

    def chmod(self, mode: int, path: str) -> None:
        self._writable("chmod", path).chmod(mode)

    def lchown(self, uid: int, gid: int, path: str) -> None:
        found = self._writable("lchown", path)
        self.owners[found] = (uid, gid)
        if not found.is_symlink():
            found.chmod(found.lstat().st_mode & 0o1777)  # as the kernel takes setuid bits away

    def mkdir_mode(self, path: str, mode: int) -> None:
        self._writable("mkdir_mode", path).mkdir(mode)

    def ln_s(self, target: str, path: str) -> None:
        self._writable("ln_s", path).symlink_to(target)

    def rename(self, old: str, new: str) -> None:
        self._writable("rename", old).rename(self._writable("rename", new))

    def rm(self, path: str) -> None:
        self._writable("rm", path).unlink()

    def truncate(self, path: str) -> None:
        self._writable("truncate", path).write_bytes(b"")

    def cp_a(self, old: str, new: str) -> None:
        shutil.copy2(self.host(old), self._writable("cp_a", new))

    def tar_in(self, archive: str, path: str) -> None:
        with tarfile.open(archive) as tar:
            tar.extraction_filter = lambda member, _path: member  # the test itself made it
            tar.extractall(self._writable("tar_in", path))  # noqa: S202

    def lsetxattr(self, name: str, value: str, _length: int, path: str) -> None:
        self.xattrs.setdefault(self._writable("lsetxattr", path), {})[name] = value.encode()

    def lremovexattr(self, name: str, path: str) -> None:
        del self.xattrs[self._writable("lremovexattr", path)][name]

    def cap_set_file(self, path: str, text: str) -> None:
        self.xattrs.setdefault(self._writable("cap_set_file", path), {})["cap text"] = text.encode()

    def acl_set_file(self, path: str, kind: str, text: str) -> None:
        self.xattrs.setdefault(self._writable("acl_set_file", path), {})[f"acl {kind}"] = text.encode()

    # --- devices

    def _device(self, call: str, device: str) -> None:
        self._asked(call, device)
        if device in self.volumes and not self.active:
            raise RuntimeError(f"{call}: {device}: No such file or directory")

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        self._device("pread_device", device)
        with self.devices[device].open("rb") as disk:
            disk.seek(offset)
            return disk.read(count)

    def pwrite_device(self, device: str, content: bytes, offset: int) -> int:
        self._asked("pwrite_device", device)
        with self.devices[device].open("r+b") as disk:
            disk.seek(offset)
            return disk.write(content)

    def blockdev_getsize64(self, device: str) -> int:
        self._device("blockdev_getsize64", device)
        return self.devices[device].stat().st_size

    def blockdev_rereadpt(self, device: str) -> None:
        self._asked("blockdev_rereadpt", device)

    def list_md_devices(self) -> list[str]:
        self._asked("list_md_devices", "list_md_devices")
        return list(self.arrays)

    def md_stat(self, device: str) -> list[Mapping[str, str]]:
        return [{"mdstat_device": name.removeprefix("/dev/")} for name in self.arrays[device]]

    def lvm_scan(self, activate: bool) -> None:
        assert activate
        self._asked("lvm_scan", "lvm_scan")
        self.active = True

    def lvs(self) -> list[str]:
        self._asked("lvs")
        return list(self.volumes)

    def vgs(self) -> list[str]:
        return sorted({name.split("/")[2] for name in self.volumes})

    def vgpvuuids(self, group: str) -> list[str]:
        return [u for name, uuids in self.volumes.items() if name.split("/")[2] == group for u in uuids]

    def cryptsetup_open(self, device: str, key: str, _name: str) -> None:
        self._asked("cryptsetup_open")
        if self.keys.get(device) != key:
            raise RuntimeError("cryptsetup_open: No key available with this passphrase.")

    def btrfs_subvolume_list(self, device: str) -> list[Mapping[str, Any]]:
        self._asked("btrfs_subvolume_list", device)
        found = self.subvolumes.get(device, [])
        return [{"btrfssubvolume_path": path, "btrfssubvolume_id": number} for path, number in found]


class Running:
    """A machine that has started, as everybody is given it."""

    def __init__(self, appliance: object) -> None:
        self.appliance = appliance

    def handle(self) -> Handle:
        return cast("Handle", self.appliance)


@contextlib.contextmanager
def session_on(
    appliance: FakeAppliance,
    disks: Sequence[Disk],
    overlays: Mapping[str, Path] | None = None,
    keys: KeyRing | None = None,
    *,
    at_once: bool = True,
) -> Iterator[Session]:
    """A session whose appliance that is; ``overlays``: of the disks that the host reads as well."""
    starting = Starting(lambda _this: cast("Handle", appliance), lambda: None, at_once=at_once)
    host = HostDisks(overlays or {}, lambda: starting.handle().sync())
    table = MountTable(starting, host)
    try:
        yield Session(starting, table, disks, keys or KeyRing())
    finally:
        table.close()
        host.close()
        starting.end()
