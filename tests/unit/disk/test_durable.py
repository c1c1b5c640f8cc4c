"""Names on stable storage: what is not ours to sync is passed over, a failing disk is not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from guestrepair.disk.durable import sync_names, write_durably


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EINVAL])
def test_a_directory_above_ours_that_cannot_be_synced_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    synced: list[str] = []

    def sync(fd: int) -> None:
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        if path == str(tmp_path):
            raise OSError(number, os.strerror(number))
        synced.append(path)

    monkeypatch.setattr(os, "fsync", sync)
    (tmp_path / "a/b").mkdir(parents=True)
    sync_names(tmp_path / "a/b")
    assert synced[:2] == [str(tmp_path / "a"), str(tmp_path.parent)], (
        "from the nearest up, on this filesystem"
    )


def test_a_disk_that_fails_while_names_are_synced_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        sync_names(tmp_path)
    (tmp_path / "kept").write_bytes(b"old")
    with pytest.raises(OSError, match="Input/output error"):
        write_durably(tmp_path / "kept", b"new")
    assert (tmp_path / "kept").read_bytes() == b"old"
