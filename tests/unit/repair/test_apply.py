"""Carrying out each kind of change: what it needs to find, what it leaves, and what stops it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guestrepair.errors import RepairError
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    EmptyFile,
    GenerateHostKey,
    MakeDirectory,
    MakeLink,
    PackagedKind,
    RemoveFile,
    RestoreAttributes,
    RestoreFile,
    SetCapabilities,
    SetLabel,
    SetMode,
    SetOwner,
    WriteBytes,
    WriteFile,
)
from guestrepair.model import GuestPath as P
from guestrepair.packages.sources import SourcedFile
from guestrepair.repair.apply import Applied, apply_steps, backup_suffix
from guestrepair.repair.plan import Step
from guestrepair.session.session import Session
from tests.unit.session.fake_appliance import FakeAppliance, session_on
from tests.unit.session.test_session import FSTAB, SDA, SDB, appliance, made

__all__ = ["appliance", "made"]  # fixtures
SUFFIX = ".guestrepair-20261130T010203Z"
UNLABELED, LABEL = "system_u:object_r:unlabeled_t:s0", "system_u:object_r:su_exec_t:s0"
CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")


@pytest.fixture
def tree(appliance: FakeAppliance) -> Path:
    """What the guest's root shows: an untidy system."""
    root = appliance.trees["/dev/sda"]
    (root / "etc/issue").write_text("Debian\n")
    (root / "etc/ssh").mkdir()
    (root / "etc/ssh/ssh_host_ed25519_key").write_text("damaged")
    (root / "usr/bin/su").write_text("program")
    (root / "bin").symlink_to("usr/bin")
    (root / "var/log").mkdir(parents=True)
    (root / "var/log/messages").write_text("long ago")
    return root


@pytest.fixture
def session(appliance: FakeAppliance, tree: Path) -> Iterator[Session]:
    del tree
    with session_on(appliance, [SDA, SDB]) as opened:
        yield opened


def applied(session: Session, *changes: Change | Step, suffix: str = SUFFIX) -> Applied:
    """What a plan of these leaves."""
    steps = [change if isinstance(change, Step) else Step(change) for change in changes]
    return apply_steps(session, session.choose_root(), steps, suffix=suffix)


def sourced(kind: PackagedKind, mode: int, uid: int = 0, gid: int = 0, **facts: Any) -> SourcedFile:
    """A packaged file as a donor has it."""
    return SourcedFile(source="donor", kind=kind, mode=mode, uid=uid, gid=gid, **facts)


@contextlib.contextmanager
def stopped(why: str) -> Iterator[None]:
    with pytest.raises(RepairError, match=why):
        yield


# --- text


def test_an_edit_leaves_a_copy_and_nothing_else(session: Session, tree: Path) -> None:
    before = FSTAB.encode()
    done = applied(
        session,
        EditFile(path=P("/etc/fstab"), before=before, edits=(Edit(offset=0, length=4, text=b"#UUI"),)),
        EditFile(
            path=P("/etc/issue"),
            before=b"Debian\n",
            edits=(Edit(offset=0, length=0, text=b"My "),),
            backup=False,
        ),
    )
    assert (tree / "etc/fstab").read_bytes() == b"#UUI" + before[4:]
    assert (tree / f"etc/fstab{SUFFIX}").read_bytes() == before
    assert (tree / "etc/issue").read_text() == "My Debian\n"
    assert done.backups == [P(f"/etc/fstab{SUFFIX}")]


def test_an_edit_of_what_has_changed_meanwhile_stops_the_repair(session: Session, tree: Path) -> None:
    with stopped("/etc/issue: its content has changed"):
        applied(session, EditFile(path=P("/etc/issue"), before=b"Ubuntu\n", edits=()))
    assert (tree / "etc/issue").read_text() == "Debian\n"


def test_a_file_is_created_or_replaced_whole(session: Session, tree: Path, appliance: FakeAppliance) -> None:
    done = applied(
        session,
        WriteFile(path=P("/etc/nologin"), before=None, after=b"", mode=0o600, uid=7, gid=8),
        WriteFile(path=P("/etc/issue"), before=b"Debian\n", after=b"New\n"),
        suffix="",
    )
    assert (tree / "etc/nologin").read_bytes() == b""
    assert (tree / "etc/nologin").stat().st_mode & 0o7777 == 0o600
    assert appliance.owners[tree / "etc/nologin"] == (7, 8)
    assert (tree / "etc/issue").read_text() == "New\n"
    assert done.backups == []


def test_what_is_to_be_created_must_not_be_there(session: Session) -> None:
    with stopped("something is there already"):
        applied(session, WriteFile(path=P("/etc/issue"), before=None, after=b"x"))
    with stopped("its content has changed"):
        applied(session, WriteFile(path=P("/etc/issue"), before=b"else", after=b"x"))


def test_what_reads_back_differently_stops_the_repair(session: Session, appliance: FakeAppliance) -> None:
    def lossy(path: str, content: bytes) -> None:
        appliance._writable("write", path).write_bytes(content[:-1])

    appliance.write = lossy  # type: ignore[method-assign]
    with stopped("/etc/issue: it reads back differently"):
        applied(session, WriteFile(path=P("/etc/issue"), before=b"Debian\n", after=b"New\n"))


def test_what_the_appliance_refuses_stops_the_repair(session: Session, appliance: FakeAppliance) -> None:
    appliance.broken["write /etc/issue"] = "No space left on device"
    with stopped("write-file /etc/issue: .*No space left on device"):
        applied(session, WriteFile(path=P("/etc/issue"), before=b"Debian\n", after=b"New\n"))


# --- attributes


def test_modes_owners_labels_and_capabilities(session: Session, tree: Path, appliance: FakeAppliance) -> None:
    su = tree / "usr/bin/su"
    su.chmod(0o777)
    appliance.xattrs[su] = {"security.selinux": UNLABELED.encode() + b"\0"}
    applied(
        session,
        SetOwner(path=P("/bin/su"), before=(0, 0), after=(5, 6)),
        SetMode(path=P("/bin/su"), before=0o777, after=0o4755),
        SetLabel(
            path=P("/bin/su"),
            before="system_u:object_r:unlabeled_t:s0",
            after="system_u:object_r:su_exec_t:s0",
        ),
    )
    assert appliance.owners[su] == (5, 6)
    assert su.stat().st_mode & 0o7777 == 0o4755
    assert appliance.xattrs[su]["security.selinux"] == LABEL.encode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (SetMode(path=P("/etc/issue"), before=0o777, after=0o600), "its mode has changed"),
        (SetMode(path=P("/bin"), before=0o777, after=0o755), "no longer a file or directory"),
        (SetMode(path=P("/etc/none"), before=0o777, after=0o755), "no longer a file or directory"),
        (SetOwner(path=P("/etc/issue"), before=(1, 1), after=(2, 2)), "its owner has changed"),
        (SetOwner(path=P("/etc/none"), before=(1, 1), after=(2, 2)), "no longer there"),
        (SetLabel(path=P("/etc/issue"), before="a_t", after="b_t"), "its label has changed"),
        (SetCapabilities(path=P("/bin/su"), before=b"other", after=CAPABILITY), "its capabilities changed"),
        (MakeDirectory(path=P("/etc/issue"), mode=0o755), "something is there already"),
        (MakeLink(path=P("/etc/issue"), target="x"), "something is there already"),
        (MakeLink(path=P("/bin"), target="x", before="sbin"), "the link has changed"),
        (RemoveFile(path=P("/etc/ssh")), "it is not a file any more"),
        (RemoveFile(path=P("/etc/none"), backup=False), "it is not a file any more"),
        (EmptyFile(path=P("/etc/ssh"), before_bytes=1), "it is not a file any more"),
        (EmptyFile(path=P("/var/log/messages"), before_bytes=1), "its size has changed"),
    ],
)
def test_what_is_not_as_planned_stops_the_repair(session: Session, change: Change, why: str) -> None:
    with stopped(why):
        applied(session, change)


def test_what_is_already_so_is_left(session: Session, appliance: FakeAppliance) -> None:
    applied(
        session,
        SetMode(path=P("/etc/issue"), before=0o777, after=0o644),
        SetOwner(path=P("/etc/issue"), before=(5, 5), after=(0, 0)),
        SetLabel(path=P("/etc/issue"), before="a_t", after=""),
        SetCapabilities(path=P("/etc/issue"), before=CAPABILITY, after=b""),
        MakeLink(path=P("/bin"), target="usr/bin"),
    )
    assert not {"chmod", "lchown", "lsetxattr", "ln_s"} & set(appliance.calls)


@pytest.mark.parametrize(
    ("call", "change", "why"),
    [
        ("chmod", SetMode(path=P("/etc/issue"), before=0o644, after=0o600), "the mode did not take"),
        ("lchown", SetOwner(path=P("/etc/issue"), before=(0, 0), after=(2, 2)), "the owner did not take"),
        ("lsetxattr", SetLabel(path=P("/etc/issue"), before="", after="b_t"), "the label did not take"),
        ("cap_set_file", SetCapabilities(path=P("/bin/su"), before=b"", after=CAPABILITY), "did not take"),
        ("rm", RemoveFile(path=P("/etc/issue"), backup=False), "it is still there"),
        ("truncate", EmptyFile(path=P("/var/log/messages"), before_bytes=8), "it did not become empty"),
    ],
)
def test_what_did_not_take_stops_the_repair(
    session: Session, appliance: FakeAppliance, call: str, change: Change, why: str
) -> None:
    setattr(appliance, call, lambda *_: None)
    with stopped(why):
        applied(session, change)


# --- directories, links, removal


def test_parents_are_made_too(session: Session, tree: Path, appliance: FakeAppliance) -> None:
    applied(session, MakeDirectory(path=P("/run/a/b"), mode=0o711, uid=3, gid=4))
    assert (tree / "run/a/b").stat().st_mode & 0o7777 == 0o711
    assert (tree / "run/a").stat().st_mode & 0o7777 == 0o755
    assert appliance.owners[tree / "run/a/b"] == (3, 4)


def test_a_directory_takes_the_place_of_a_file_that_is_kept(session: Session, tree: Path) -> None:
    done = applied(session, MakeDirectory(path=P("/etc/issue"), mode=0o755, replace="file"))
    assert (tree / "etc/issue").is_dir()
    assert (tree / f"etc/issue{SUFFIX}").read_text() == "Debian\n"
    assert done.backups == [P(f"/etc/issue{SUFFIX}")]


def test_a_directory_that_is_there_gets_mode_and_owner(
    session: Session, tree: Path, appliance: FakeAppliance
) -> None:
    applied(session, MakeDirectory(path=P("/etc/ssh"), mode=0o700, uid=9, gid=9))
    assert (tree / "etc/ssh").stat().st_mode & 0o7777 == 0o700
    assert appliance.owners[tree / "etc/ssh"] == (9, 9)


def test_links_are_made_and_led_elsewhere(session: Session, tree: Path) -> None:
    applied(
        session,
        MakeLink(path=P("/etc/localtime"), target="/usr/share/zoneinfo/UTC"),
        MakeLink(path=P("/bin"), target="usr/sbin", before="usr/bin"),
    )
    assert str((tree / "etc/localtime").readlink()) == "/usr/share/zoneinfo/UTC"
    assert str((tree / "bin").readlink()) == "usr/sbin"


def test_files_are_removed_with_and_without_a_copy(session: Session, tree: Path) -> None:
    done = applied(
        session,
        RemoveFile(path=P("/etc/issue"), aside="not-"),
        RemoveFile(path=P("/var/log/messages"), backup=False),
        RemoveFile(path=P("/bin"), backup=False),
    )
    assert not (tree / "etc/issue").exists()
    assert (tree / f"etc/not-issue{SUFFIX}").read_text() == "Debian\n"
    assert not list((tree / "var/log").iterdir())
    assert not (tree / "bin").is_symlink()
    assert done.backups == [P(f"/etc/not-issue{SUFFIX}")]


def test_a_log_is_emptied(session: Session, tree: Path) -> None:
    applied(session, EmptyFile(path=P("/var/log/messages"), before_bytes=8))
    assert (tree / "var/log/messages").read_bytes() == b""


# --- packaged files


def restored(path: str, source: SourcedFile) -> Step:
    change = RestoreFile(
        path=P(path),
        package="p",
        version="1",
        architecture="amd64",
        digest=source.digest,
        file_kind=source.kind,
    )
    return Step(change, source)


def content(tmp_path: Path, text: str) -> Path:
    made = tmp_path / f"content-{len(text)}"
    made.write_text(text)
    return made


def test_files_come_back_with_all_that_they_had(
    session: Session, tree: Path, appliance: FakeAppliance, tmp_path: Path
) -> None:
    digest = "md5:5d41402abc4b2a76b9719d911017c592"  # of "hello"
    file = sourced(PackagedKind.FILE, 0o755, 0, 0, content=content(tmp_path, "hello"), size_bytes=5,
        digest=digest, xattrs={"security.capability": CAPABILITY}, mtime=1000,
    )  # fmt: skip
    applied(
        session,
        restored("/usr/bin/ping", file),
        restored("/usr/bin/sh", sourced(PackagedKind.SYMLINK, 0o777, 0, 0, link_target="dash")),
        restored("/usr/lib/new", sourced(PackagedKind.DIRECTORY, 0o711, 0, 0)),
        restored("/etc/ssh", sourced(PackagedKind.DIRECTORY, 0o700, 0, 0)),
    )
    ping = tree / "usr/bin/ping"
    assert ping.read_text() == "hello"
    assert int(ping.stat().st_mtime) == 1000
    assert appliance.xattrs[ping] == {"cap text": b"cap_net_bind_service=ep"}
    assert str((tree / "usr/bin/sh").readlink()) == "dash"
    assert (tree / "usr/lib/new").stat().st_mode & 0o7777 == 0o711
    assert (tree / "etc/ssh").stat().st_mode & 0o7777 == 0o700


def test_content_that_came_back_otherwise_stops_the_repair(session: Session, tmp_path: Path) -> None:
    file = sourced(
        PackagedKind.FILE, 0o755, 0, 0, content=content(tmp_path, "hello"), digest="md5:" + "0" * 32
    )
    with stopped("/usr/bin/ping: its digest differs after the restore"):
        applied(session, restored("/usr/bin/ping", file))


@pytest.mark.parametrize(
    ("path", "source", "why"),
    [
        (
            "/etc/ssh",
            sourced(PackagedKind.SYMLINK, 0, link_target="x"),
            "a directory is in its place",
        ),
        ("/etc/issue", sourced(PackagedKind.DIRECTORY, 0), "something is there already"),
        ("/etc/new", sourced(PackagedKind.SYMLINK, 0), "does not say where the link leads"),
        ("/etc/new", sourced(PackagedKind.FILE, 0), "has no content for it"),
        (
            "/dev/null",
            sourced(PackagedKind.OTHER, 0),
            "neither a file, a directory nor a link",
        ),
    ],
)
def test_what_cannot_be_brought_back_stops_the_repair(
    session: Session, path: str, source: SourcedFile, why: str
) -> None:
    with stopped(why):
        applied(session, restored(path, source))


def test_a_file_without_a_source_stops_the_repair(session: Session) -> None:
    change = RestoreFile(path=P("/usr/bin/x"), package="p", version="1", architecture="amd64")
    with stopped("no source was found for it"):
        applied(session, change)


def test_attributes_come_back_by_their_source(session: Session, tree: Path, appliance: FakeAppliance) -> None:
    change = RestoreAttributes(path=P("/etc/issue"), package="p", version="1", architecture="amd64")
    applied(session, Step(change, sourced(PackagedKind.FILE, 0o640, 0, 42)))
    assert (tree / "etc/issue").stat().st_mode & 0o7777 == 0o640
    assert appliance.owners[tree / "etc/issue"] == (0, 42)
    with stopped("no longer there, or no source for it"):
        applied(session, change)
    appliance.chmod = lambda *_: None  # type: ignore[method-assign]
    with stopped("mode or owner did not take"):
        applied(session, Step(change, sourced(PackagedKind.FILE, 0o600, 0, 42)))


# --- keys, devices


def test_a_host_key_is_made_and_the_damaged_one_kept(session: Session, tree: Path) -> None:
    path = P("/etc/ssh/ssh_host_ed25519_key")
    done = applied(session, GenerateHostKey(path=path, key_type="ed25519"))
    assert (
        (tree / "etc/ssh/ssh_host_ed25519_key").read_text().startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    )
    assert (tree / "etc/ssh/ssh_host_ed25519_key").stat().st_mode & 0o7777 == 0o600
    assert (tree / "etc/ssh/ssh_host_ed25519_key.pub").read_text().startswith("ssh-ed25519 ")
    assert (tree / f"etc/ssh/ssh_host_ed25519_key{SUFFIX}").read_text() == "damaged"
    assert done.backups == [P(f"{path}{SUFFIX}")]


@pytest.fixture
def own_disk(appliance: FakeAppliance, tmp_path: Path) -> Path:
    """A disk whose bytes may be written to."""
    disk = tmp_path / "own"
    disk.write_bytes(appliance.devices["/dev/sda"].read_bytes())
    appliance.devices["/dev/sda"] = disk
    return disk


def test_bytes_of_a_disk_are_written_before_anything_is_mounted(session: Session, own_disk: Path) -> None:
    change = WriteBytes(device="/dev/sda", offset_bytes=16, before=bytes(4), after=b"GPT!", what="a table")
    apply_steps(session, None, [Step(change)], suffix="")
    assert own_disk.read_bytes()[14:22] == b"\0\0GPT!\0\0"
    with stopped("/dev/sda at byte 16: it has changed"):
        apply_steps(session, None, [Step(change)], suffix="")


def test_files_need_a_system(session: Session) -> None:
    with stopped("files cannot be changed where no system can be mounted"):
        apply_steps(session, None, [Step(RemoveFile(path=P("/etc/issue")))], suffix="")


def test_a_suffix_is_a_time_in_utc() -> None:
    assert len(backup_suffix()) == len(SUFFIX)
    assert backup_suffix().endswith("Z")
