"""Who answers: the host where it is certain, the appliance for all else; and what is verified afterwards."""

from __future__ import annotations

import dataclasses
import hashlib
import stat as stat_module
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.formats.extents import Extent, Layout
from guestrepair.formats.superblock.model import Read
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Mount
from guestrepair.guest.file_records import ContentPlace, FileRecord, FormerFile
from guestrepair.guest.filesystem_state import FilesystemUsage
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath as P
from guestrepair.session import metadata
from guestrepair.session.backends import Directory, HostFirst
from guestrepair.session.device_access import DevicesWritten
from guestrepair.session.live import LiveGuest
from guestrepair.session.metadata import Metadata
from tests.unit.session.fake_appliance import Running

FILE, DIRECTORY, LINK = (kind | 0o644 for kind in (0o100000, 0o040000, 0o120000))
BY_HOST, BY_APPLIANCE = -1, 7
USAGE, COUNTED = FilesystemUsage(1, 2, 3, 4, 5), FilesystemUsage(6, 7, 8, 9, 10)
DEVICE = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1, "ext4")


class Files:
    """A guest in memory: path to content, to the target of a link ("->…"), or to None for a directory."""

    def __init__(self, files: Mapping[str, bytes | str | None], device: int) -> None:
        self.files = dict(files)
        self.device = device
        self.asked: list[tuple[str, str]] = []
        self.broken: set[str] = set()

    def stat(self, path: str) -> Stat | None:
        if path in self.broken:
            raise GuestReadError(path, "Input/output error")
        if path != "/" and path not in self.files:
            return None
        content = None if path == "/" else self.files[path]
        mode = FILE if isinstance(content, bytes) else LINK if isinstance(content, str) else DIRECTORY
        inode = 2 if path == "/" else 10 + sorted(self.files).index(path)
        size = len(content) if isinstance(content, bytes) else 0
        return Stat(mode, size_bytes=size, inode=inode, device=self.device)

    def inside(self, directory: str) -> tuple[str, ...]:
        self.asked.append(("names", directory))
        start = f"{directory.rstrip('/')}/"
        return tuple(
            p.removeprefix(start) for p in self.files if p.startswith(start) and "/" not in p[len(start) :]
        )

    def link(self, path: str) -> str:
        content = self.files.get(path)
        return content.removeprefix("->") if isinstance(content, str) else ""


class Appliance(Files):
    """Answers everything."""

    prefix = "/m0"

    @property
    def damage(self) -> Mapping[str, str]:
        return {"/damaged": "by appliance"}

    def top(self) -> Stat:
        self.asked.append(("top", "/"))
        return dataclasses.replace(self.stat("/") or Stat(0))

    def stats(self, directory: Directory, names: Sequence[str]) -> dict[str, Stat | None]:
        self.asked += [("stat", directory.inside(name)) for name in names]
        return {name: self.stat(directory.inside(name)) for name in names}

    def present(self, wanted: Mapping[str, Collection[str]]) -> str:
        paths = [
            Directory(path).inside(name) for path, names in sorted(wanted.items()) for name in sorted(names)
        ]
        self.asked += [("present", path) for path in paths]
        return next((path for path in paths if self.stat(path) is not None), "")

    def names(self, directory: Directory) -> tuple[str, ...]:
        return self.inside(directory.path)

    def targets(self, directory: Directory, names: Sequence[str]) -> dict[str, str]:
        self.asked += [("target", directory.inside(name)) for name in names]
        return {name: self.link(directory.inside(name)) for name in names}

    def content(self, path: str, _stat: Stat, offset: int, size: int) -> bytes:
        self.asked.append(("content", path))
        content = self.files[path]
        assert isinstance(content, bytes)
        return content[offset : offset + size]

    def tree(self, path: str, exclude: Sequence[str], limit_bytes: int) -> Mapping[str, bytes]:
        self.asked.append(("tree", path))
        return {"all": b"by appliance"} if limit_bytes and not exclude else {}

    def xattr(self, path: str, _stat: Stat | None, name: str) -> bytes:
        self.asked.append(("xattr", path))
        return name.encode()

    def xattrs(self, path: str, _stat: Stat | None) -> Mapping[str, bytes]:
        self.asked.append(("xattrs", path))
        return {"user.of": path.encode()}

    def digests(
        self, algorithm: str, files: Mapping[P, Stat], *, through_filesystem: bool
    ) -> Mapping[P, str]:
        raise AssertionError("only the two together know the limits")

    def hashed(self, algorithm: str, files: Mapping[P, Stat]) -> Mapping[P, str]:
        self.asked += [("hash", str(path)) for path in files]
        contents = {path: self.files[str(path)] for path in files}
        return {p: hashlib.new(algorithm, c).hexdigest() for p, c in contents.items() if isinstance(c, bytes)}

    def layouts(self, files: Mapping[P, Stat]) -> Iterator[tuple[P, Layout]]:
        self.asked += [("layout", str(path)) for path in files]
        return iter(())

    def deletion_times(self, _directory: Directory, _names: Collection[str]) -> None:
        """Nothing is known of it."""

    def records(self, path: str, beyond: Collection[str]) -> Iterator[FileRecord] | None:
        self.asked.append(("records", path))
        return iter([FileRecord(path=f"{path}/by-appliance", inode=7, mode=FILE)])

    def former_files(self, _path: str) -> Iterator[FormerFile]:
        raise AssertionError("it knows nothing of them")

    def deleted(self, mounts: Sequence[Mount]) -> Iterator[tuple[str, str, int]]:
        self.asked.append(("deleted", mounts[0].target))
        yield "/", "etc/gone", 1700000000

    def place(self, _path: str, _inode: int, _size_bytes: int) -> None:
        """It does not tell."""

    def usage(self, target: str) -> FilesystemUsage:
        self.asked.append(("usage", target))
        return USAGE

    def doubt(self, _directory: str, _names: Collection[str]) -> None:
        """It knows."""

    def mounted(self, path: str, _device: BlockDevice | None, subvolume: str = "") -> None:
        self.asked.append(("mounted", path))

    def forget(self) -> None:
        self.asked.append(("forget", ""))

    def start_over(self) -> None:
        self.asked.append(("start over", ""))


class Host(Files):
    """Certain of nothing below ``uncertain``."""

    uncertain: tuple[str, ...] = ()

    def sure(self, path: str) -> bool:
        return not any(f"{path}/".startswith(f"{u}/") for u in self.uncertain)

    def top(self, path: str = "/") -> Stat | None:
        return self.stat(path) if self.sure(path) else None

    def number(self, directory: Directory, _name: str) -> int | None:
        return self.device if "/" not in self.uncertain and directory else None

    def stats(self, directory: Directory, names: Sequence[str]) -> dict[str, Stat | None]:
        found = {name: directory.inside(name) for name in names}
        return {name: self.stat(path) for name, path in found.items() if self.sure(path)}

    def names(self, directory: Directory) -> tuple[str, ...] | None:
        return self.inside(directory.path) if self.sure(directory.path) else None

    def targets(self, directory: Directory, names: Sequence[str]) -> dict[str, str]:
        found = {name: directory.inside(name) for name in names}
        return {name: self.link(path) for name, path in found.items() if self.sure(path)}

    def usage(self, target: str) -> FilesystemUsage | None:
        return COUNTED if target == "/" and "/" not in self.uncertain else None

    def content(self, path: str, _stat: Stat, offset: int, size: int) -> bytes | None:
        content = self.files[path] if self.sure(path) else None
        return content[offset : offset + size] if isinstance(content, bytes) else None

    def xattrs(self, path: str, _stat: Stat) -> Mapping[str, bytes] | None:
        if path.endswith("x") or not self.sure(path):
            return None
        return {"user.host": b"certain"} if path == "/etc/passwd" else {}

    def deletion_times(self, directory: Directory, names: Collection[str]) -> dict[str, int] | None:
        return dict.fromkeys(names, 1600000000) if self.sure(directory.path) else None

    def records(self, path: str, beyond: Collection[str]) -> Iterator[FileRecord | str] | None:
        if not self.sure(path):
            return None
        found: list[FileRecord | str] = [FileRecord(path="/by-host", inode=8, mode=FILE)]
        return iter(found + list(self.uncertain))

    def former_files(self, path: str) -> Iterator[FormerFile]:
        for name in (f"{path}gone", ""):
            yield FormerFile(FileRecord(path=name, inode=9, mode=FILE, deleted=True, former=True))

    def place(self, path: str, _inode: int, size_bytes: int) -> ContentPlace | None:
        return ContentPlace("/dev/sda", size_bytes, ()) if self.sure(path) else None

    def mounted(self, path: str, device: BlockDevice | None, subvolume: str = "") -> None:
        self.asked.append(("mounted", f"{path} {device.name if device else None}{subvolume}"))

    def start_over(self) -> None:
        self.asked.append(("start over", ""))

    def reads(self, path: str) -> bool:
        return self.sure(path)

    def located(self, path: str, stat: Stat) -> tuple[Layout, Read] | None:
        content = self.files[path]
        assert isinstance(content, bytes)
        held = content
        layout = Layout(stat.size_bytes, (Extent(0, 0, stat.size_bytes),) if held else ())
        return layout, lambda offset, size: held[offset : offset + size]

    def reader(self, path: str, stat: Stat) -> Callable[[int, int], bytes | None] | None:
        return None

    def mount_point(self, _path: str) -> str:
        return "/"

    def mappable(self) -> Mapping[str, tuple[Read, int]]:
        return {}


FILES: dict[str, bytes | str | None] = {
    "/etc": None, "/etc/passwd": b"root", "/etc/link": "->passwd", "/etc/x": b"", "/srv": None,
    "/srv/data": b"of the appliance", "/srv/link": "->/etc/passwd", "/home": None,
}  # fmt: skip


@pytest.fixture
def host() -> Host:
    made = Host(FILES, BY_HOST)
    made.uncertain = ("/srv",)
    return made


@pytest.fixture
def appliance() -> Appliance:
    return Appliance(FILES, BY_APPLIANCE)


@pytest.fixture
def both(host: Host, appliance: Appliance) -> HostFirst:
    return HostFirst(host, appliance)


@pytest.fixture
def guest(both: HostFirst) -> LiveGuest:
    return LiveGuest(
        both, DevicesWritten(Running(object())), block=BlockDevices(), mounts=[Mount("a", "/", "ext4")]
    )


ETC, SRV = Directory("/etc"), Directory("/srv")


def test_what_the_host_is_certain_of_is_not_asked_of_the_appliance(
    both: HostFirst, appliance: Appliance
) -> None:
    passwd = both.stats(ETC, ["passwd", "none"])
    assert passwd["none"] is None
    assert passwd["passwd"] == Stat(FILE, size_bytes=4, inode=12, device=BY_HOST)
    assert set(both.names(ETC)) == {"passwd", "link", "x"}
    assert both.targets(ETC, ["link", "passwd"]) == {"link": "passwd", "passwd": ""}
    assert both.content("/etc/passwd", passwd["passwd"], 1, 2) == b"oo"
    assert both.xattr("/etc/passwd", passwd["passwd"], "security.capability") == b""
    assert both.xattr("/etc/passwd", passwd["passwd"], "user.host") == b"certain"
    assert both.xattrs("/etc/passwd", passwd["passwd"]) == {"user.host": b"certain"}
    assert both.tree("/etc", (), 1) is None
    assert both.deletion_times(ETC, ["gone"]) == {"gone": 1600000000}
    assert both.top().device == BY_HOST
    assert both.usage("/") == COUNTED
    assert both.digests("md5", {P("/etc/passwd"): passwd["passwd"]}, through_filesystem=False) == {
        P("/etc/passwd"): hashlib.md5(b"root", usedforsecurity=False).hexdigest()
    }
    assert appliance.asked == []


def test_everything_else_is_asked_of_the_appliance(both: HostFirst, host: Host, appliance: Appliance) -> None:
    data = both.stats(SRV, ["data", "none"])
    assert data["none"] is None
    assert data["data"] is not None
    assert data["data"].device == BY_HOST  # one filesystem has one number, whoever answers
    assert set(both.names(SRV)) == {"data", "link"}
    assert both.targets(SRV, ["link"]) == {"link": "/etc/passwd"}
    assert both.content("/srv/data", data["data"], 3, 3) == b"the"
    assert both.xattr("/srv/data", data["data"], "a.b") == b"a.b"
    assert both.xattr("/etc/x", host.stat("/etc/x"), "a.b") == b"a.b"
    assert both.xattr("/etc/passwd", None, "a.b") == b"a.b"
    assert both.tree("/srv", (), 1) == {"all": b"by appliance"}
    assert both.deletion_times(SRV, ["gone"]) is None
    assert both.usage("/srv") == USAGE
    host.uncertain = ("", "/")
    assert both.usage("/") == USAGE
    assert both.top().device == BY_APPLIANCE
    assert both.stats(SRV, ["data"])["data"] == Stat(FILE, size_bytes=16, inode=16, device=BY_APPLIANCE)
    assert {kind for kind, _ in appliance.asked} == {
        "stat", "names", "target", "content", "xattr", "tree", "usage", "top",
    }  # fmt: skip


def test_of_names_in_one_directory_only_the_uncertain_ones_are_asked_for(
    both: HostFirst, host: Host, appliance: Appliance
) -> None:
    host.uncertain = ("/etc/link",)
    found = both.stats(ETC, ["passwd", "link", "none"])
    assert [stat is None for stat in found.values()] == [False, True, False]
    assert both.targets(ETC, ["passwd", "link"]) == {"passwd": "", "link": "passwd"}
    assert appliance.asked == [("stat", "/etc/link"), ("target", "/etc/link")]


def test_what_is_missing_in_both_holds_and_is_asked_about_once(both: HostFirst, appliance: Appliance) -> None:
    both.stats(ETC, ["none", "passwd"])
    both.stats(Directory("/"), ["boot", "etc"])
    assert both.contradicted() == ""
    assert appliance.asked == [("present", "/boot"), ("present", "/etc/none")]
    assert both.contradicted() == ""
    assert len(appliance.asked) == 2


def test_what_the_appliance_has_and_the_host_not_is_named(both: HostFirst, appliance: Appliance) -> None:
    appliance.files["/etc/shadow"] = b"hidden"
    assert both.stats(ETC, ["shadow"]) == {"shadow": None}
    assert both.contradicted() == "/etc/shadow"


def test_what_the_appliance_cannot_look_at_does_not_count_as_verified(
    both: HostFirst, appliance: Appliance
) -> None:
    both.stats(ETC, ["shadow"])
    appliance.broken.add("/etc/shadow")
    for _ in range(2):
        with pytest.raises(GuestReadError, match="Input/output error"):
            both.contradicted()


def test_only_what_the_host_said_is_to_be_verified(both: HostFirst, appliance: Appliance) -> None:
    both.stats(SRV, ["none"])  # the appliance itself has said so
    appliance.asked.clear()
    assert both.contradicted() == ""
    assert appliance.asked == []


def test_what_no_listing_names_is_verified_where_the_host_has_listed_it(
    both: HostFirst, guest: LiveGuest, appliance: Appliance
) -> None:
    guest.doubt(["/etc/none", "/etc/gone/below", "/etc/link/below", "/srv/none", "/boot"])
    appliance.asked.clear()
    assert both.contradicted() == ""
    assert [path for kind, path in appliance.asked if kind == "present"] == [
        "/boot",
        "/etc/gone",
        "/etc/none",
    ]
    appliance.files["/etc/hidden"] = b"seen by the kernel"
    guest.doubt(["/etc/hidden"])
    assert both.contradicted() == "/etc/hidden"


def test_what_is_mounted_over_is_not_verified_by_what_lies_above(both: HostFirst, host: Host) -> None:
    for path in ("/", "/home", "/home/a", "/homes"):
        both.stats(Directory(path), ["none"])
    both.mounted("/home", DEVICE)
    assert host.asked == [("mounted", "/home /dev/sda1")]
    assert both.contradicted() == ""
    both.stats(Directory("/home/a"), ["none"])
    both.cover("/")
    assert both._missing == {}


def test_forgetting_keeps_what_is_still_to_be_verified(
    both: HostFirst, host: Host, appliance: Appliance
) -> None:
    appliance.files["/etc/shadow"] = b"hidden"
    both.stats(ETC, ["shadow"])
    both.forget()
    both.start_over()
    assert appliance.asked == [("forget", ""), ("start over", "")]
    assert host.asked == [("start over", "")]
    assert both.contradicted() == "/etc/shadow"


def test_through_the_filesystem_means_through_the_appliance(
    both: HostFirst, host: Host, appliance: Appliance
) -> None:
    files = {P("/etc/passwd"): host.stat("/etc/passwd") or Stat(0)}
    assert both.digests("sha256", files, through_filesystem=True) == {
        P("/etc/passwd"): hashlib.sha256(b"root").hexdigest()
    }
    assert appliance.asked == [("hash", "/etc/passwd")]


# --- the guest on top of a backend


def test_a_guest_reads_through_links_whoever_has_them(guest: LiveGuest, appliance: Appliance) -> None:
    assert guest.read(P("/srv/link")) == b"root"
    assert guest.readlink(P("/etc/link")) == "passwd"
    assert guest.listdir(P("/srv")) == ("data", "link")
    assert guest.exists(P("/etc/link"))
    assert not guest.exists(P("/no/such"))
    assert guest.lstat(P("/")) == Stat(DIRECTORY, inode=2, device=BY_HOST)
    assert guest.xattr(P("/etc/passwd"), "a") == b""
    with pytest.raises(GuestReadError, match="not a symbolic link"):
        guest.readlink(P("/etc/passwd"))
    with pytest.raises(GuestReadError, match="no such directory"):
        guest.listdir(P("/no/such"))
    with pytest.raises(GuestReadError, match="no such file or directory"):
        guest.xattr(P("/no/such"), "a")
    with pytest.raises(GuestReadError, match="no such directory"):
        guest.read_tree(P("/no/such"))
    with pytest.raises(GuestReadError, match="not a regular file"):
        guest.read_range(P("/etc"), 0, 1)
    assert guest.usage("/") == COUNTED
    with pytest.raises(GuestReadError, match="nothing is mounted there"):
        guest.usage("/home")


def test_a_tree_is_read_file_by_file_where_the_host_has_it(guest: LiveGuest, appliance: Appliance) -> None:
    assert guest.read_tree(P("/etc"), exclude=["x*"]) == {"passwd": b"root"}
    with pytest.raises(GuestReadError, match="more than the 3 bytes"):
        guest.read_tree(P("/etc"), limit_bytes=3)
    assert appliance.asked == []
    assert guest.read_tree(P("/srv")) == {"all": b"by appliance"}


def test_digests_are_given_for_the_paths_that_were_asked_for(guest: LiveGuest) -> None:
    found = guest.digests("md5", [P("/etc/passwd"), P("/etc"), P("/no")])
    assert list(found) == [P("/etc/passwd")]


def test_deletion_times_come_from_the_directory_or_from_a_walk(guest: LiveGuest, host: Host) -> None:
    paths = [P("/etc/gone"), P("/no/such/file")]
    assert guest.deletion_times(paths) == {P("/etc/gone"): 1600000000}
    host.uncertain = ("/etc",)
    guest.start_over()
    assert guest.deletion_times(paths) == {P("/etc/gone"): 1700000000}


def test_a_walk_that_fails_has_nothing_to_tell(guest: LiveGuest, host: Host, appliance: Appliance) -> None:
    class Unknown(Appliance):
        def deleted(self, mounts: Sequence[Mount]) -> Iterator[tuple[str, str, int]]:
            yield "/", "etc/a", 5
            raise GuestReadError(mounts[0].source, "unknown filesystem")

    host.uncertain = ("/etc",)
    other = LiveGuest(
        HostFirst(host, Unknown(FILES, BY_APPLIANCE)), DevicesWritten(Running(object())),
        block=BlockDevices(),
        mounts=guest.mounts,
    )  # fmt: skip
    assert other.deletion_times([P("/etc/a"), P("/etc/b")]) == {P("/etc/a"): 5}


def test_the_same_files_with_more_mounted_keep_what_was_read(guest: LiveGuest, appliance: Appliance) -> None:
    guest.lstat(P("/srv/data"))
    asked = list(appliance.asked)
    again = guest.mounted_as([*guest.mounts, Mount("b", "/home", "xfs")], [("/var", "is gone")])
    assert again.lstat(P("/srv/data")) == guest.lstat(P("/srv/data"))
    assert appliance.asked == asked
    assert [mount.target for mount in again.mounts] == ["/", "/home"]
    assert again.unmounted == (("/var", "is gone"),)
    assert [mount.target for mount in guest.mounts] == ["/"]


def test_a_guest_asks_once_until_it_is_told_to_forget(guest: LiveGuest, appliance: Appliance) -> None:
    for _ in range(3):
        guest.lstat(P("/srv/data"))
        guest.lstat(P("/srv/none"))
        guest.listdir(P("/srv"))
        guest.readlinks([P("/srv/link")])
    assert sorted(appliance.asked) == [
        ("names", "/srv"), ("stat", "/srv"), ("stat", "/srv/data"), ("stat", "/srv/none"),
        ("target", "/srv/link"),
    ]  # fmt: skip
    guest.forget()
    guest.lstat(P("/srv/data"))
    assert appliance.asked.count(("stat", "/srv/data")) == 2


def test_devices_of_others_are_not_read(guest: LiveGuest) -> None:
    with pytest.raises(GuestReadError, match="not a device of this guest"):
        guest.read_device("/dev/sdz", 0, 1)
    for ask in (guest.peek, guest.check_filesystem):
        with pytest.raises(GuestReadError, match="being written to"):
            ask("/dev/sda")


def test_what_is_kept_of_metadata_is_bounded(monkeypatch: pytest.MonkeyPatch, appliance: Appliance) -> None:
    monkeypatch.setattr(metadata, "_KEPT_STATS", 2)
    kept = Metadata(appliance)
    for path in ("/etc", "/srv", "/home"):
        kept.stats(path, ["a", "b"])
    assert len(kept._stats) == 1
    # The parents of a deep directory are asked for again, from the top down.
    for depth in ("/a", "/a/b", "/a/b/c", "/a/b/c/d"):
        appliance.files[depth] = None
    found = kept.directory("/a/b/c/d").stat
    assert found is not None
    assert stat_module.S_ISDIR(found.mode)


def test_all_names_by_the_host_and_where_it_is_not_certain_by_the_appliance(
    guest: LiveGuest, host: Host, appliance: Appliance
) -> None:
    assert [r.path for r in guest.file_records()] == ["/by-host", "/srv/by-appliance", "/gone"]
    assert [f.record.path for f in guest.former_files()] == ["/gone", ""]
    assert appliance.asked == [("records", "/srv")]
    host.uncertain = ("/",)
    assert [r.path for r in guest.file_records()] == ["//by-appliance", "/gone"]


def test_where_nobody_has_all_names_each_is_asked_for(
    guest: LiveGuest, host: Host, appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appliance, "records", lambda _path, _beyond: None)
    with pytest.raises(GuestReadError):  # some of it has been given out
        list(guest.file_records())
    monkeypatch.setattr(host, "records", lambda _path, _beyond: None)
    assert {r.path for r in guest.file_records()} == set(FILES)
