"""What the appliance answers: in bulk, honest about I/O errors, and for names of any bytes."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from guestrepair.appliance.toolbox import Outcome, Toolbox
from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import Mount
from guestrepair.guest.view import Stat
from guestrepair.model import GuestPath as P
from guestrepair.session import appliance_backend, bulk, hash_programs, hashing
from guestrepair.session.appliance_backend import ApplianceBackend
from guestrepair.session.backends import Directory
from guestrepair.session.hash_programs import HashPrograms
from tests.unit.session.fake_appliance import FakeAppliance, Running

ROOT, ETC = Directory("/"), Directory("/etc")


@pytest.fixture
def appliance(tmp_path: Path) -> FakeAppliance:
    tree = tmp_path / "tree"
    (tree / "etc/sub").mkdir(parents=True)
    for number in range(9):
        (tree / f"etc/file{number}").write_text(f"content {number}")
    (tree / "etc/link").symlink_to("file1")
    (tree / "large").write_bytes(os.urandom(4 << 20))
    made = FakeAppliance({"/dev/sda": tree}, {})
    made.mkmountpoint("/m0")
    made.mount_options("ro", "/dev/sda", "/m0")
    made.calls.clear()
    return made


@pytest.fixture
def backend(appliance: FakeAppliance) -> ApplianceBackend:
    return ApplianceBackend(Running(appliance), "/m0")


def test_many_names_of_a_directory_are_few_calls(
    backend: ApplianceBackend, appliance: FakeAppliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appliance_backend, "_NAMES_A_CALL", 4)
    found = backend.stats(ETC, [f"file{number}" for number in range(9)])
    assert {stat.size_bytes for stat in found.values() if stat} == {9}
    assert appliance.calls == {"lstatnslist": 3}
    assert backend.targets(ETC, ["link", "file1"]) == {"link": "file1", "file1": ""}
    assert (backend.top().is_directory, backend.inside("/"), backend.inside("/etc")) == (
        True,
        "/m0",
        "/m0/etc",
    )


def test_what_is_missing_is_looked_up_in_the_listing_once(
    backend: ApplianceBackend, appliance: FakeAppliance
) -> None:
    assert backend.stats(ETC, ["none"]) == backend.stats(ETC, ["none"]) == {"none": None}
    assert appliance.calls == {"lstatnslist": 2, "ls": 1}
    backend.start_over()
    backend.stats(ETC, ["none"])
    assert appliance.calls["ls"] == 2


def test_a_name_that_is_listed_and_cannot_be_examined_is_damage_and_costs_nothing_else(
    backend: ApplianceBackend, appliance: FakeAppliance
) -> None:
    appliance.broken["/m0/etc/file1"] = "Input/output error"
    found = backend.stats(ETC, ["file0", "file1", "none"])
    assert found["file0"] is not None
    assert found["file1"] is found["none"] is None
    assert backend.damage == {"/etc/file1": "it is listed in its directory but cannot be examined"}
    backend.forget()
    assert backend.damage == {}


@pytest.mark.parametrize(
    ("words", "damaged"),
    [
        ("Structure needs cleaning", True),
        ("Bad message", True),
        ("Input/output error", True),
        ("Permission denied", False),
    ],
)
def test_what_the_kernel_says_of_damage_is_kept_in_mind(
    backend: ApplianceBackend, appliance: FakeAppliance, words: str, damaged: bool
) -> None:
    appliance.broken["/m0/etc"] = words
    with pytest.raises(GuestReadError):
        backend.names(ETC)
    assert list(backend.damage) == (["/etc"] if damaged else [])


def test_a_directory_that_cannot_be_read_is_said(backend: ApplianceBackend, appliance: FakeAppliance) -> None:
    appliance.broken["/m0/etc"] = "Structure needs cleaning"
    for ask in (
        lambda: backend.names(ETC), lambda: backend.stats(ETC, ["a"]), lambda: backend.targets(ETC, ["a"]),
        lambda: backend.present({"/etc": ["a"]}),
    ):  # fmt: skip
        with pytest.raises(GuestReadError, match=r"/etc: .*Structure needs cleaning"):
            ask()


def test_the_first_name_that_is_there_is_told(backend: ApplianceBackend) -> None:
    assert backend.present({"/etc": ["none", "file2", "file1"], "/": ["etc"]}) == "/etc"
    assert backend.present({"/etc": ["none", "file2", "file1"]}) == "/etc/file1"
    assert backend.present({"/etc": ["none"], "/": ["no"]}) == ""


def test_names_that_are_not_utf8_come_out_through_a_file(
    backend: ApplianceBackend, appliance: FakeAppliance
) -> None:
    (appliance.trees["/dev/sda"] / "etc" / os.fsdecode(b"odd\xff")).write_text("")
    assert "odd\udcff" in backend.names(ETC)
    assert appliance.calls["ls0"] == 1


def test_a_listing_without_end_is_refused(
    backend: ApplianceBackend, appliance: FakeAppliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appliance_backend, "MAX_DIRECTORY_BYTES", 10)
    appliance.broken["ls /m0/etc"] = "message length exceeds the limit"
    with pytest.raises(GuestReadError, match="more than 10 bytes of names"):
        backend.names(ETC)


def test_small_parts_are_read_and_large_ones_carried_out(
    backend: ApplianceBackend, appliance: FakeAppliance
) -> None:
    whole = (appliance.trees["/dev/sda"] / "large").read_bytes()
    stat = Stat(0o100644, size_bytes=len(whole))
    assert backend.content("/large", stat, 5, 2 << 20) == whole[5 : 5 + (2 << 20)]
    assert appliance.calls == {"pread": 2}
    assert backend.content("/large", stat, 0, len(whole)) == whole
    assert appliance.calls["download_offset"] == 1
    assert backend.content("/large", stat, len(whole), 10) == b""


def test_a_tree_comes_as_one_archive(backend: ApplianceBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    found = backend.tree("/etc", ["file[1-8]"], 1000)
    assert found == {"file0": b"content 0"}
    with pytest.raises(GuestReadError, match="more than the 20 bytes"):
        backend.tree("/etc", (), 20)
    monkeypatch.setattr(bulk, "_MAX_MEMBERS", 3)
    with pytest.raises(GuestReadError, match="more than"):
        backend.tree("/etc", (), 1000)


def test_a_tree_that_cannot_be_read_is_said(backend: ApplianceBackend, appliance: FakeAppliance) -> None:
    appliance.broken["tar_out /m0/etc"] = "Input/output error"
    with pytest.raises(GuestReadError):
        backend.tree("/etc", (), 1000)


@pytest.mark.parametrize("value", [b"\x01\x00", "text"])
def test_attributes_are_bytes_however_the_bindings_give_them(
    backend: ApplianceBackend, appliance: FakeAppliance, value: bytes | str
) -> None:
    appliance.xattrs[appliance.trees["/dev/sda"] / "etc/file1"] = {"security.capability": value}  # type: ignore[dict-item]
    assert backend.xattr("/etc/file1", None, "security.capability") == (b"text" if value == "text" else value)
    assert backend.xattr("/etc/file1", None, "user.none") == b""


def test_deleted_names_whose_inodes_were_not_used_again(
    backend: ApplianceBackend, appliance: FakeAppliance
) -> None:
    appliance.deleted["/dev/sda"] = [
        ("etc/gone", 0, 1700000000), ("etc/here", 1, 5), ("etc/again", 2, 5), ("", 0, 5), ("etc/when", 0, 0),
    ]  # fmt: skip
    mount = Mount("/dev/sda", "/", "ext4")
    assert list(backend.deleted([mount])) == [("/", "etc/gone", 1700000000)]
    assert list(backend.deleted([])) == []


def test_space_and_inodes(backend: ApplianceBackend) -> None:
    found = backend.usage("/")
    assert (found.size_bytes, found.available_bytes, found.inodes_free) == (409600, 163840, 20)


def test_where_there_are_no_inodes_root_writes_no_more_than_others(
    backend: ApplianceBackend, appliance: FakeAppliance
) -> None:
    appliance.inodes = {"files": 0, "ffree": 0}
    found = backend.usage("/")
    assert (found.free_bytes, found.available_bytes) == (40 * 4096, 40 * 4096)


# --- hashing


class Programs(Toolbox):
    """Programs of this host, over the files that the fake appliance shows."""

    appliance: FakeAppliance
    fails = False
    lists: int

    def prepare(self, device: str) -> None:
        if self.fails:
            raise GuestReadError(device, "no shell of this host can be run in the appliance")
        if self.directory not in self.appliance.mounted:
            self.appliance.points.add(self.directory)
            self.appliance.mount_vfs("", "tmpfs", "", self.directory)
            self.appliance.mounted[self.directory] = ("tmpfs", "rw")
            self.lists = 0

    def run(self, device: str, script: str, *, needs: Iterable[str]) -> Outcome:
        assert "xargs" in set(needs), device
        self.lists += 1
        command = re.sub(r"\{([a-z0-9]+)\}", r"\1", re.split(r"xargs\} -0 | <", script)[1])
        folder = self.appliance.host(self.directory)
        names = [os.fsdecode(n) for n in (folder / "list").read_bytes().split(b"\0") if n]
        places = {name: str(self.appliance.host(name)) for name in names}
        done = subprocess.run([*command.split(), *places.values()], capture_output=True, check=False)
        answer = done.stdout
        for name, place in places.items():
            answer = answer.replace(os.fsencode(place), os.fsencode(name))
        (folder / "answer").write_bytes(answer)
        return Outcome(done.returncode, "")


@pytest.fixture
def programs(appliance: FakeAppliance) -> HashPrograms:
    toolbox = Programs(Running(appliance), hash_programs.PROGRAMS, hash_programs.DIRECTORY)
    toolbox.appliance = appliance
    return HashPrograms(Running(appliance), "/m0", toolbox)


def files(count: int) -> dict[P, Stat]:
    return {P(f"/etc/file{n}"): Stat(0o100644, size_bytes=9, inode=n + 1) for n in range(count)}


def digests(count: int, algorithm: str = "sha256") -> dict[P, str]:
    return {
        P(f"/etc/file{n}"): hashlib.new(algorithm, f"content {n}".encode()).hexdigest() for n in range(count)
    }


def test_many_files_are_hashed_in_one_run(programs: HashPrograms, appliance: FakeAppliance) -> None:
    wanted = files(9) | {P("/etc/none"): Stat(0o100644)}
    assert programs.hashed("sha256", wanted) == digests(9)
    assert appliance.calls["checksum"] == 0


def test_few_files_and_other_algorithms_are_hashed_one_by_one(
    programs: HashPrograms, appliance: FakeAppliance
) -> None:
    assert programs.hashed("sha256", files(3)) == digests(3)
    assert programs.hashed("sha3_256", files(5)) == digests(5, "sha3_256")
    assert appliance.calls["checksum"] == 8


def test_a_list_that_is_too_long_is_hashed_in_several_runs(
    programs: HashPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_programs, "_LIST_BYTES", 40)
    assert programs.hashed("md5", files(9)) == digests(9, "md5")
    assert isinstance(programs.toolbox, Programs)
    assert programs.toolbox.lists > 2


def test_without_programs_files_are_hashed_one_by_one(
    programs: HashPrograms, appliance: FakeAppliance
) -> None:
    assert isinstance(programs.toolbox, Programs)
    programs.toolbox.fails = True
    assert programs.hashed("sha256", files(9)) == digests(9)
    bare = HashPrograms(Running(appliance), "/m0")
    assert bare.hashed("sha256", files(9)) == digests(9)
    assert list(bare.layouts(files(9))) == []
    with pytest.raises(GuestReadError):
        list(programs.layouts(files(9)))


def test_what_cannot_be_hashed_is_left_out(backend: ApplianceBackend, appliance: FakeAppliance) -> None:
    appliance.broken["/m0/etc/file0"] = "Input/output error"
    found = backend.digests("sha256", files(2), through_filesystem=True)
    assert found == {P("/etc/file1"): digests(2)[P("/etc/file1")]}


def test_a_guest_of_terabytes_is_hashed_up_to_a_bound(
    backend: ApplianceBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = {P("/etc/file0"): Stat(0o100644, size_bytes=hashing.MAX_FILE_BYTES + 1)}
    assert backend.digests("md5", huge, through_filesystem=False) == {}
    monkeypatch.setattr(backend._hasher, "left_bytes", 20)
    assert len(backend.digests("md5", files(9), through_filesystem=False)) == 2
    assert backend.digests("md5", files(9), through_filesystem=False) == {}
    monkeypatch.setattr(backend._hasher, "left_bytes", 1000)
    monkeypatch.setattr(backend._hasher, "_verifiable", 30)
    assert len(backend.digests("md5", files(9), through_filesystem=True)) == 3
