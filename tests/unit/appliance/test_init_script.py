"""The trimmed start script: made from the host's own, or not at all."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from guestrepair.appliance.fast_build import fast_appliance
from guestrepair.appliance.init_script import trimmed, with_fewer_modules

INITRD = (
    b"07070100modules\0\0\0scsi_mod.ko\nata_piix.ko\nvirtio_net.ko\nsd_mod.ko\n\x00070701ata_piix.ko\x00code"
)
HOSTS = sorted(Path("/usr/lib").glob("**/guestfs/supermin.d/init.tar.gz"))
SCRIPT = """\
#!/bin/bash
machine_id=$(dd if=/dev/urandom)
kmod static-nodes --format=tmpfiles
systemd-tmpfiles --prefix=/dev --create --boot
udevadm trigger
udevadm settle --timeout=600
for f in /sys/block/{h,s,ub,v}d*/queue/scheduler; do echo noop > $f; done
ip addr add 127.0.0.1/8 dev lo
ip link set dev lo up
mdadm -As --auto=yes --no-degraded
lvmetad
lvm pvscan --cache --activate ay
mdadm -As --auto=yes --run
ldmtool create all
guestfsd
"""


def test_raid_starts_only_where_a_member_was_seen() -> None:
    script = trimmed(SCRIPT) or ""
    for line in script.splitlines():
        if "mdadm" in line and "mkdir" not in line:
            assert line.startswith("if shows 'ID_FS_TYPE=.*_raid_member")
    assert "lvm pvscan" not in script
    assert "systemd-tmpfiles" not in script
    assert script.endswith("guestfsd\n")


@pytest.mark.parametrize("number", range(1, 14))
def test_a_script_that_is_not_as_known_is_left_alone(number: int) -> None:
    lines = SCRIPT.splitlines(keepends=True)
    without = trimmed("".join(lines[:number] + lines[number + 1 :]))
    assert without is None or "queue/scheduler" in lines[number]  # newer releases do not have that line
    assert trimmed("".join([*lines[: number + 1], *lines[number:]])) is None


@pytest.mark.parametrize(
    ("database", "starts"),
    [
        ({}, True),  # nothing to look in: as the original does
        ({"b8:0": "E:ID_FS_TYPE=ext4\n"}, False),
        ({"b8:0": "E:ID_FS_TYPE=ext4\n", "b8:17": "E:ID_FS_TYPE=linux_raid_member\n"}, True),
        ({"b8:0": "E:ID_FS_TYPE=isw_raid_member\n"}, True),
        ({"b8:0": "E:ID_FS_AMBIVALENT=filesystem:ext4:1.0 raid:linux_raid_member:1.2\n"}, True),
    ],
)
def test_what_counts_as_a_member(tmp_path: Path, database: dict[str, str], starts: bool) -> None:
    for name, text in database.items():
        (tmp_path / name).write_text(text)
    script = (trimmed(SCRIPT) or "").replace("/run/udev/data", str(tmp_path))
    start = script.index("shows() {")
    function = script[start : script.index("\n}\n", start) + 3]
    condition = next(line for line in script.splitlines() if line.startswith("if shows")).split(";")[0]
    probe = f"{function}\n{condition}; then echo started; fi"
    done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == ("started\n" if starts else "")


@pytest.mark.parametrize("archive", HOSTS, ids=str)
def test_the_host_s_own_script_is_trimmed_to_a_sound_one(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        member = tar.extractfile("init")
        assert member is not None
        script = trimmed(member.read().decode())
    assert script is not None
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def supermin(folder: Path, script: str) -> Path:
    stock = folder / "guestfs" / "supermin.d"
    stock.mkdir(parents=True)
    with tarfile.open(stock / "init.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("init")
        member.size = len(script)
        tar.addfile(member, io.BytesIO(script.encode()))
    return stock.parent


@pytest.mark.parametrize("script", ["#!/bin/sh\nanother release\n", SCRIPT])
def test_what_cannot_be_built_is_no_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    # The second script is known, but supermin has no packages to build an appliance from.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said: list[str] = []
    path = supermin(tmp_path, script)
    if script == SCRIPT:
        monkeypatch.setenv("PATH", str(tmp_path))  # no supermin there
    for _ in range(2):  # the second time it is known
        assert fast_appliance(str(path), "1.0", said.append) is None
    assert len(said) == 1
    left = [p.name for p in (tmp_path / "cache" / "guestrepair").rglob("*") if p.is_file()]
    assert sorted(left) == ["appliance.lock", "unusable"]


def test_a_fixed_appliance_of_the_user_s_own_is_kept(tmp_path: Path) -> None:
    (tmp_path / "README.fixed").touch()
    assert fast_appliance(str(tmp_path), "1.0", lambda _message: None) is None


def test_unused_modules_are_made_unknown_and_nothing_moves() -> None:
    listed = b"scsi_mod.ko\n-----------\n-------------\nsd_mod.ko\n"
    expected = b"07070100modules\0\0\0" + listed + b"\x00070701ata_piix.ko\x00code"
    assert with_fewer_modules(INITRD) == expected


def test_an_initrd_without_the_list_stays_as_it_is() -> None:
    assert with_fewer_modules(b"\x1f\x8bcompressed") == b"\x1f\x8bcompressed"
