"""All names by find, run as it runs in the appliance: its script, over directories of this host."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from guestrepair.appliance.handle import Machine
from guestrepair.appliance.toolbox import Outcome, Toolbox
from guestrepair.errors import GuestReadError
from guestrepair.session import records
from guestrepair.session.records import RecordPrograms
from tests.unit.session.fake_appliance import Running


class Files:
    """libguestfs's calls on files of this host."""

    def pread(self, path: str, count: int, offset: int) -> bytes:
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(count)

    def rm(self, path: str) -> None:
        Path(path).unlink()


@dataclass
class Shell(Toolbox):
    """Runs scripts with this host's programs."""

    def run(self, device: str, script: str, *, needs: Iterable[str]) -> Outcome:
        for name in needs:
            script = script.replace(f"{{{name}}}", name)
        assert not re.search(r"\{[a-z0-9_.]+\}", script)
        done = subprocess.run(
            ["sh", "-c", f"( {script} )"], check=False, capture_output=True, env=os.environ | {"DEV": device}
        )
        return Outcome(done.returncode, done.stdout.decode())


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecordPrograms:
    monkeypatch.setattr(records, "_ANSWER", str(tmp_path / "answer"))
    monkeypatch.setattr(records, "_TIMES", str(tmp_path / "times"))
    monkeypatch.setattr(records, "_PIECE_BYTES", 100)
    top = tmp_path / "guest"
    (top / "etc" / "inner").mkdir(parents=True)
    (top / "etc" / "file").write_bytes(b"content")
    (top / "etc" / "new\nline").touch()
    (top / "link").symlink_to("etc/file")
    (top / "a*[b]\\{find}").mkdir()
    (top / "a*[b]\\{find}" / "below").touch()
    (top / "axxb").mkdir()
    (top / "axxb" / "kept").touch()
    machine = cast("Machine", Running(cast("Any", Files())))
    return RecordPrograms(machine, str(top), Shell(machine))


ALL = {
    "/etc", "/etc/inner", "/etc/file", "/etc/new\nline", "/link", "/a*[b]\\{find}", "/a*[b]\\{find}/below",
    "/axxb", "/axxb/kept",
}  # fmt: skip


def test_every_name_with_what_lstat_says(programs: RecordPrograms) -> None:
    found = {r.path: r for r in programs.records("/", ())}
    assert set(found) == ALL
    stat = Path(programs.prefix, "etc/file").lstat()
    record = found["/etc/file"]
    assert (record.inode, record.mode, record.size_bytes) == (stat.st_ino, stat.st_mode, 7)
    assert (record.modified_ns, record.changed_ns) == (stat.st_mtime_ns, stat.st_ctime_ns)
    assert found["/link"].target == "etc/file"
    assert not (Path(programs.prefix).parent / "answer").exists()


def test_below_a_directory(programs: RecordPrograms) -> None:
    assert {r.path for r in programs.records("/etc", ())} == {p for p in ALL if p.startswith("/etc/")}


def test_what_is_mounted_elsewhere_is_named_and_not_entered(programs: RecordPrograms) -> None:
    found = {r.path for r in programs.records("/", ["/a*[b]\\{find}", "/etc/inner"])}
    assert found == ALL - {"/a*[b]\\{find}/below"}


def test_what_cannot_be_walked_is_said(programs: RecordPrograms) -> None:
    with pytest.raises(GuestReadError, match="not every directory"):
        list(programs.records("/none", ()))
