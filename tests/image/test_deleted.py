"""A packaged program that a kernel deleted comes back from where it lay, without any donor."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from guestrepair.guest.view import Guest
from guestrepair.model import GuestPath, RestoreFile
from guestrepair.operations.options import SourceOptions
from guestrepair.operations.sources import Sources
from guestrepair.packages import open_database
from guestrepair.packages.sources import DeletedSource, resolve_sources
from tests.image.test_digests import opened
from tests.support import mounts as on_host

pytestmark = [pytest.mark.image, pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem")]
PROGRAMS = ("find", "passwd", "less")
WITH_ATTRIBUTE = "less"


@contextmanager
def mounted(raw: Path) -> Iterator[Path]:
    """The largest partition of a raw image, mounted on this host."""
    listed = subprocess.run(["sfdisk", "--json", raw], check=True, capture_output=True, text=True)
    parts = json.loads(listed.stdout)["partitiontable"]["partitions"]
    part = max(parts, key=lambda each: each["size"])
    point = raw.parent / "mounted"
    where = f"offset={part['start'] * 512},sizelimit={part['size'] * 512}"
    with on_host.mounted(raw, point, where):
        yield point


def test_deleted_programs_come_back(debian_image: Path, tmp_path: Path) -> None:
    """All of them; before any other source only those that certainly had no extended attributes."""
    raw = tmp_path / "raw"
    subprocess.run(["qemu-img", "convert", "-O", "raw", debian_image, raw], check=True)
    contents: dict[str, bytes] = {}
    modes: dict[str, int] = {}
    with mounted(raw) as top:
        for name in PROGRAMS:
            path = top / "usr/bin" / name
            contents[name], modes[name] = path.read_bytes(), path.stat().st_mode & 0o7777
            assert os.listxattr(path) == []
            os.utime(path)  # as a running system does: the journal has the inode as it is
        os.setxattr(top / "usr/bin" / WITH_ATTRIBUTE, "user.note", b"kept by nobody")
    with mounted(raw) as top:
        for name in PROGRAMS:
            (top / "usr/bin" / name).unlink()
    work = tmp_path / "work"
    work.mkdir()
    with opened(raw) as (_, _, guest):
        wanted = [_as_recorded(guest, GuestPath("/usr/bin") / name) for name in PROGRAMS]
        found = resolve_sources(guest, wanted, [DeletedSource(guest)], work).resolved
        first = Sources(SourceOptions(), print).of(guest)[0]
        plain = resolve_sources(guest, wanted, [first], work).resolved
        known = [replace(change, capabilities="") for change in wanted]
        losing_nothing = resolve_sources(guest, known, [first], work).resolved
    assert len(found) == len(losing_nothing) == len(PROGRAMS)
    assert {change.path.name for change in plain} == {*PROGRAMS} - {WITH_ATTRIBUTE}
    for change, source in [*found.items(), *plain.items(), *losing_nothing.items()]:
        assert source.content is not None
        assert source.content.read_bytes() == contents[change.path.name]
        assert source.mode == modes[change.path.name]
    print(f"{len(found)} deleted programs, setuid among them: content and modes as they were")


def _as_recorded(guest: Guest, path: GuestPath) -> RestoreFile:
    """The restoration of a file that is missing, as the guest's own package database has it."""
    database = open_database(guest)
    assert database is not None
    file = database.lookup_many([str(path)])[str(path)][0]
    assert not guest.exists(path)
    return RestoreFile(
        path=path,
        package=file.package.name,
        version=file.package.version,
        architecture=file.package.architecture,
        digest=file.digest,
    )
