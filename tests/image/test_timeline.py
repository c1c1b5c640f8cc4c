"""File times of whole guests: those of The Sleuth Kit on ext4, and those of the kernel elsewhere."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import fixtures
from guestrepair.guest.file_records import FileRecord
from guestrepair.guest.view import Guest
from guestrepair.report.bodyfile import bodyfile, mactime
from tests.image.test_digests import opened

pytestmark = pytest.mark.image


def ext4_offsets(image: Path) -> list[int]:
    """First sectors of the partitions of a raw image, the largest first."""
    listed = subprocess.run(["sfdisk", "--json", image], check=True, capture_output=True, text=True)
    parts = json.loads(listed.stdout)["partitiontable"]["partitions"]
    return [part["start"] for part in sorted(parts, key=lambda part: -part["size"])]


@pytest.mark.skipif(shutil.which("fls") is None, reason="no sleuthkit on this host")
def test_the_body_file_is_that_of_fls_line_for_line(debian_image: Path, tmp_path: Path) -> None:
    raw, body = tmp_path / "raw", tmp_path / "body"
    subprocess.run(["qemu-img", "convert", "-O", "raw", debian_image, raw], check=True)
    offset = str(ext4_offsets(raw)[0])
    fls = ["fls", "-r", "-m", "/", "-o", offset, str(raw)]
    expected = subprocess.run(fls, check=True, capture_output=True).stdout
    with opened(debian_image) as (_, _, guest):
        records = list(guest.file_records())
        below = tuple(f"{m.target}/" for m in guest.mounts if m.target != "/")
    on_root = [r for r in records if not r.path.startswith(below)]
    ours = sorted("".join(bodyfile(on_root)).encode(errors="surrogateescape").splitlines())
    # It takes numbers of a hash tree for deleted names, here and there.
    made_up = set(expected.splitlines()) - set(ours)
    assert all(b" (deleted-realloc)|" in line for line in made_up)
    assert ours == sorted(line for line in expected.splitlines() if line not in made_up)
    body.write_bytes(b"\n".join(ours) + b"\n")
    table = subprocess.run(["mactime", "-b", body, "-d", "-y", "-z", "UTC"], check=True, capture_output=True)
    assert sorted("".join(mactime(on_root)).encode().splitlines()) == sorted(table.stdout.splitlines())
    print(f"{len(ours)} lines of the body file, {len(table.stdout.splitlines())} of the table: alike")


@pytest.mark.parametrize("name", ["debian-xfs", "debian-btrfs", "debian-lvm"])
def test_all_names_that_come_at_once_are_those_that_come_one_by_one(name: str) -> None:
    with opened(fixtures.build(name)) as (_, _, guest):
        # Where something is mounted, the host tells of the directory that is covered.
        covered = {mount.target for mount in guest.mounts} - {"/"}
        records = [r for r in guest.file_records() if not r.deleted and r.mode]
        slow = {r.path: r for r in Guest.file_records(guest)}
    assert {r.path for r in records} == set(slow)
    assert len(records) == len(slow) > 3000
    for record in records:
        assert record.path in covered or facts(record) == facts(slow[record.path])
        assert record.accessed_ns is not None
    created = sum(r.created_ns is not None for r in records)
    fine = sum((r.changed_ns or 0) % 10**9 > 0 for r in records)
    print(f"{name}: {len(records)} names alike, {created} with a time of creation, {fine} with nanoseconds")


def facts(record: FileRecord) -> tuple[object, ...]:
    """What both ways tell, times in whole seconds."""
    times = ((record.modified_ns or 0) // 10**9, (record.changed_ns or 0) // 10**9)
    return record.inode, record.mode, record.uid, record.gid, record.size_bytes, record.target, *times
