"""A packaged program that a kernel deleted comes back from where it lay, without any donor."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guestrepair.model import GuestPath, RestoreFile
from guestrepair.packages.sources import DeletedSource, resolve_sources
from tests.image.test_digests import opened

pytestmark = [pytest.mark.image, pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")]
PROGRAMS = ("find", "passwd", "less")


@contextmanager
def mounted(raw: Path) -> Iterator[Path]:
    """The largest partition of a raw image, mounted on this host."""
    listed = subprocess.run(["sfdisk", "--json", raw], check=True, capture_output=True, text=True)
    parts = json.loads(listed.stdout)["partitiontable"]["partitions"]
    part = max(parts, key=lambda each: each["size"])
    point = raw.parent / "mounted"
    point.mkdir(exist_ok=True)
    where = f"loop,offset={part['start'] * 512},sizelimit={part['size'] * 512}"
    if subprocess.run(["mount", "-o", where, raw, point], check=False, capture_output=True).returncode:
        pytest.skip("no loop devices here")
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True)


def test_deleted_programs_come_back(debian_image: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", debian_image, raw], check=True)
    contents: dict[str, bytes] = {}
    modes: dict[str, int] = {}
    with mounted(raw) as top:
        for name in PROGRAMS:
            path = top / "usr/bin" / name
            contents[name], modes[name] = path.read_bytes(), path.stat().st_mode & 0o7777
            os.utime(path)  # as a running system does: the journal has the inode as it is
    with mounted(raw) as top:
        for name in PROGRAMS:
            (top / "usr/bin" / name).unlink()
    wanted = [
        RestoreFile(
            path=GuestPath("/usr/bin") / name,
            package=name,
            version="1",
            architecture="amd64",
            digest=f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}",
        )
        for name, content in contents.items()
    ]
    work = tmp_path / "work"
    work.mkdir()
    with opened(raw) as (_, _, guest):
        found = resolve_sources(guest, wanted, [DeletedSource(guest)], work).resolved
    assert len(found) == len(PROGRAMS)
    for change, source in found.items():
        assert source.content is not None
        assert source.content.read_bytes() == contents[change.path.name]
        assert source.mode == modes[change.path.name]
    print(f"{len(found)} deleted programs, setuid among them: content and modes as they were")
