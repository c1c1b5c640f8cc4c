"""A saved machine is resumed by the qemu that saved it, and made from libguestfs's own command line."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from guestrepair.appliance.saved_machine import SavedMachine, locked_at_once
from guestrepair.confine.process import confinement
from guestrepair.confine.variant import varied

OWN = "/cache/appliance/root,snapshot=on,id=appliance,cache=unsafe,if=none,format=raw"
LINE = [
    "-no-user-config", "-machine", "accel=tcg,graphics=off", "-cpu", "max", "-m", "1024",
    "-kernel", "/cache/appliance/kernel", "-initrd", "/cache/appliance/initrd",
    "-device", "virtio-scsi-pci,id=scsi",
    "-drive", "file=/tmp/overlay.qcow2,format=qcow2,id=hd0,if=none",
    "-device", "scsi-hd,drive=hd0,serial=diska",
    "-drive", f"file={OWN}", "-device", "scsi-hd,drive=appliance",
    "-serial", "stdio", "-chardev", "socket,path=/tmp/guestfsd.sock,id=channel0",
    "-device", "virtserialport,chardev=channel0,name=org.libguestfs.channel.0",
    "-append", "panic=1 console=ttyS0 root=UUID=d6537824 TERM=xterm",
]  # fmt: skip
"""As libguestfs 1.48 has it, shortened."""

QEMU = """#!/usr/bin/python3
import json, os, socket, sys
from pathlib import Path
console, path = (next(w for w in sys.argv if w.startswith(start)) for start in ("file:", "unix:"))
path = path.split(",")[0].removeprefix("unix:")
Path(path).with_name("line").write_text(" ".join(sys.argv))
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
Path(console.removeprefix("file:")).write_text("guestrepair: ready to be saved")
client = server.accept()[0]
def say(**words):
    client.sendall(json.dumps(words).encode() + b"\\n")
say(QMP={})
lent, told = {}, STATUSES
while True:
    asked, files, _, _ = socket.recv_fds(client, 1 << 16, 1)
    asked = json.loads(asked)
    if asked["execute"] == "getfd":
        lent[asked["arguments"]["fdname"]] = files[0]
    if asked["execute"] == "migrate":
        os.write(lent[asked["arguments"]["uri"].removeprefix("fd:")], b"memory")
    answer = {}
    if asked["execute"] == "query-migrate":
        answer = {"status": told.pop(0) if told[1:] else told[0]}
    say(**{"return": answer})
    if asked["execute"] == "quit":
        break
"""


@pytest.fixture
def saved(tmp_path: Path) -> SavedMachine:
    return machine(tmp_path, "completed")


def machine(place: Path, status: str, *before: str) -> SavedMachine:
    """A qemu that is none: it says that it waits, writes what it is told to, and ends.

    Asked how far it is, it says ``before``, one each time, and then always ``status``.
    """
    (place / "home").mkdir()
    (place / "appliance").mkdir()
    (place / "appliance/root").write_bytes(bytes(1 << 20))
    qemu = place / "home/qemu-system-none"
    qemu.write_text(QEMU.replace("STATUSES", repr([*before, status])))
    qemu.chmod(0o700)
    return SavedMachine(place / "appliance", qemu)


def save(saved: SavedMachine, line: list[str] = LINE) -> bool:
    for name in ("qmp", "console"):  # as in a private directory of each command
        (saved.qemu.parent / name).unlink(missing_ok=True)
    return saved.save(line, saved.qemu.parent, lambda: True)


def test_a_machine_is_saved_and_the_same_command_line_resumes_it(saved: SavedMachine) -> None:
    assert saved.variant() is None
    assert save(saved)
    assert (saved.place / "state").read_bytes() == b"memory"
    assert {stat.S_IMODE(p.stat().st_mode) for p in saved.place.iterdir()} == {0o600}
    assert set(saved.directory.iterdir()) == {saved.place, saved.directory / "root"}
    told = saved.variant()
    assert told is not None
    assert told["open"] == str(saved.place / "state")
    line = varied(LINE, told)
    assert line is not None
    assert line[-2:] == ["-incoming", "fd:{descriptor}"]
    assert "scsi-hd,drive=hd0,serial=diska" in line
    assert "virtio-blk-pci,drive=appliance" in line
    assert f"file={OWN}" not in line
    assert any(f"{saved.place}/root.qcow2,snapshot=on,id=appliance" in word for word in line)
    others = [
        [*LINE, "-smp", "2"], [w.replace("tcg", "kvm") for w in LINE], [w.replace(OWN, "x") for w in LINE],
    ]  # fmt: skip
    assert [varied(other, told) for other in others] == [None] * 3


def test_the_machine_that_is_saved_has_the_appliance_alone_and_waits(saved: SavedMachine) -> None:
    assert save(saved)
    line = (saved.qemu.parent / "line").read_text()
    assert "hd0" not in line
    assert "guestfsd.sock" not in line
    assert "root=UUID=d6537824 TERM=xterm quiet guestrepair_wait=1" in line
    assert "root.qcow2,id=appliance,cache=unsafe,if=none,format=qcow2 -device virtio-blk-pci," in line


def test_another_qemu_does_not_resume_it_and_has_its_own(saved: SavedMachine) -> None:
    assert save(saved)
    first, status = saved.variant(), saved.qemu.stat()
    os.utime(saved.qemu, (1, 1))
    assert saved.variant() is None
    assert save(saved)
    second = saved.variant()
    os.utime(saved.qemu, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert saved.variant() == first != second


@pytest.mark.parametrize("name", ["state", "root.qcow2", "how.json"])
def test_what_is_not_whole_is_not_resumed_and_saved_again(saved: SavedMachine, name: str) -> None:
    assert save(saved)
    told = saved.variant()
    (saved.place / name).unlink()
    assert saved.variant() is None
    assert save(saved)
    assert saved.variant() == told


@pytest.mark.parametrize("name", [".", "state", "root.qcow2", "how.json"])
def test_what_others_could_have_written_is_not_resumed(saved: SavedMachine, name: str) -> None:
    assert save(saved)
    (saved.place / name).chmod(0o722)
    assert saved.variant() is None


def test_whatever_the_umask_what_is_saved_is_ours_alone(saved: SavedMachine) -> None:
    before = os.umask(0)
    try:
        assert save(saved)
    finally:
        os.umask(before)
    assert saved.variant() is not None


def test_what_is_left_of_a_killed_command_is_removed(saved: SavedMachine) -> None:
    (saved.directory / "saving").mkdir()
    (saved.directory / "saving/state").write_bytes(b"half of it")
    assert saved.variant() is None
    assert save(saved)
    assert (saved.place / "state").read_bytes() == b"memory"
    assert not (saved.directory / "saving").exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"qemu": 1}'])
def test_what_does_not_say_how_it_was_saved_is_not_resumed(saved: SavedMachine, text: str) -> None:
    assert save(saved)
    (saved.place / "how.json").write_text(text)
    assert saved.variant() is None


def test_what_fails_is_given_up_for_a_day(tmp_path: Path) -> None:
    saved = machine(tmp_path, "failed")
    assert not save(saved)
    assert saved.given_up
    assert saved.variant() is None
    assert {path.name for path in saved.directory.iterdir()} == {"root", "unsaved"}
    os.utime(saved.directory / "unsaved", (1, 1))
    assert not saved.given_up


@pytest.mark.parametrize("left_out", ["scsi-hd,drive=appliance", f"file={OWN}"])
def test_a_command_line_of_another_kind_is_given_up(saved: SavedMachine, left_out: str) -> None:
    assert not save(saved, [word for word in LINE if word != left_out])
    assert saved.given_up


def test_what_is_wanted_no_longer_is_not_given_up(saved: SavedMachine) -> None:
    saved.qemu.write_text("#!/bin/sh\nsleep 60\n")
    assert not saved.save(LINE, saved.qemu.parent, lambda: False)
    assert not saved.given_up
    assert saved.variant() is None


def test_giving_up_forgets_what_was_saved(saved: SavedMachine) -> None:
    assert save(saved)
    saved.give_up()
    assert saved.variant() is None
    assert not saved.place.exists()


def test_a_kind_of_machine_that_gets_no_new_random_numbers_is_never_saved(
    saved: SavedMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = os.uname()
    monkeypatch.setattr("os.uname", lambda: os.uname_result((*usual[:4], "aarch64")))
    assert saved.given_up
    assert saved.variant() is None


def test_a_state_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    saved = machine(tmp_path, "completed", "setup", "active")
    assert save(saved)
    assert (saved.place / "state").read_bytes() == b"memory"


def test_nobody_waits_for_whoever_saves_it_now(tmp_path: Path) -> None:
    with locked_at_once(tmp_path / "lock") as first, locked_at_once(tmp_path / "lock") as second:
        assert (first, second) == (True, False)
    with locked_at_once(tmp_path / "lock") as again:
        assert again


def test_the_command_line_of_a_variant_is_plain_data(saved: SavedMachine) -> None:
    assert save(saved)
    told = saved.variant()
    assert json.loads(json.dumps(told)) == told
    assert confinement() or told
