"""``guestrepair prune``: by name or age, never silently, with the exit statuses of the contract."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from guestrepair.cli.main import invoke
from guestrepair.disk import RepairRecord, Transaction, examine, state_directory
from guestrepair.disk.manifest import Phase
from guestrepair.disk.record import Record, all_records
from tests.unit.disk.test_records import record


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(4096))
    return path


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


def run(capsys: pytest.CaptureFixture[str], state: Path, *arguments: str) -> tuple[int, str, str]:
    status = invoke(["prune", "--state-dir", str(state), *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def phases(state: Path) -> list[Phase]:
    return [r.phase for r in all_records(state)]


def whole(written: Record) -> bool:
    return written.undo_data.exists() and written.again() == written


@pytest.mark.parametrize(
    "arguments",
    [[], ["--yes"], ["--dry-run"], ["--older-than", "30"], ["--older-than", "d"], ["--older-than", "-1d"],
     ["--older-than", "99999999d"], ["--older-than", "1y"], ["--yes", "no-such-repair"]],
)  # fmt: skip
def test_wrong_usage_removes_nothing(
    capsys: pytest.CaptureFixture[str], state: Path, image: Path, arguments: list[str]
) -> None:
    written = record(state, image, days=400)
    status, out, err = run(capsys, state, *arguments)
    assert (status, out) == (2, "")
    assert err
    assert "Traceback" not in err
    assert whole(written)


def test_without_a_terminal_it_asks_for_a_yes_and_removes_nothing(
    capsys: pytest.CaptureFixture[str], state: Path, image: Path
) -> None:
    written = record(state, image, days=40)
    status, _, err = run(capsys, state, "--older-than", "30d")
    assert status == 2
    assert "--yes" in err
    assert whole(written)


def test_a_dry_run_shows_what_would_go_and_removes_nothing(
    capsys: pytest.CaptureFixture[str], state: Path, image: Path
) -> None:
    written = record(state, image, days=40)
    record(state, image, days=1)
    status, out, err = run(capsys, state, "--older-than", "30d", "--dry-run")
    assert (status, err) == (0, "")
    assert written.manifest.identifier in out
    assert str(image) in out
    assert "would be removed: 1, 8192 bytes" in out
    assert whole(written)


def test_what_goes_is_listed_and_summed_up(
    capsys: pytest.CaptureFixture[str], state: Path, image: Path
) -> None:
    for days in (31, 60):
        record(state, image, days=days)
    record(state, image, days=1)
    status, out, _ = run(capsys, state, "--older-than", "30d", "--yes")
    assert status == 0
    assert "removed: 2, 16384 bytes" in out
    assert phases(state) == [Phase.PRUNED, Phase.PRUNED, Phase.COMMITTED]
    status, out, _ = run(capsys, state, "--older-than", "30d", "--yes")
    assert (status, out) == (0, "nothing removed\n")


@pytest.mark.parametrize("dry_run", [True, False])
def test_what_is_half_written_is_kept_and_said_to_be(
    capsys: pytest.CaptureFixture[str], state: Path, image: Path, *, dry_run: bool
) -> None:
    written = record(state, image, Phase.UNDOING, days=400)
    record(state, image, days=40)
    status, out, err = run(capsys, state, "--older-than", "30d", "--yes", *(["--dry-run"] if dry_run else []))
    assert status == 0
    assert written.manifest.identifier not in out
    assert "is kept: its image is half written" in err
    assert whole(written)


def test_a_name_is_shown_escaped(capsys: pytest.CaptureFixture[str], state: Path, tmp_path: Path) -> None:
    odd = tmp_path / "disk\x1b[31m.raw"
    odd.write_bytes(bytes(4096))
    record(state, odd)
    for extra in (["--dry-run"], ["--yes"]):
        _, out, err = run(capsys, state, "--older-than", "0h", *extra)
        assert "\x1b" not in out + err
        assert "disk\\x1b[31m.raw" in out


def test_history_and_undo_say_that_the_undo_data_is_gone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A real repair of a real image, pruned."""
    image, state = tmp_path / "disk.raw", state_directory(tmp_path / "state")
    image.write_bytes(b"\1" * (1 << 20))
    with Transaction.begin(examine(image), state) as transaction:
        write = ["qemu-io", "-f", "qcow2", "-c", "write -P 7 64k 64k", str(transaction.overlay)]
        subprocess.run(write, check=True, stdout=subprocess.DEVNULL)
        transaction.commit(repair=RepairRecord((("a/b", "/etc/x:3"),)))
    repaired = image.read_bytes()
    status, out, _ = run(capsys, state, str(image), "--yes")
    assert status == 0
    assert "removed: 1" in out
    assert invoke(["history", "--state-dir", str(state), str(image)]) == 0
    listed = capsys.readouterr().out
    assert "pruned" in listed
    assert "a/b /etc/x:3" in listed
    for force in ([], ["--force"]):
        assert invoke(["undo", "--state-dir", str(state), str(image), "--yes", *force]) == 4
        assert "was pruned on 2" in capsys.readouterr().err
        assert image.read_bytes() == repaired
