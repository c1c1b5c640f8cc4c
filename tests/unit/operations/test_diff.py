"""What the two arguments of diff mean."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import cast

import pytest

from guestrepair.cli.main import invoke
from guestrepair.disk import Transaction, examine, state_directory
from guestrepair.errors import (
    BindingError,
    BudgetError,
    FormatError,
    GuestReadError,
    GuestRepairError,
    ImageError,
)
from guestrepair.operations.diff import DiffOptions, Given, _side, diff, parse_given
from guestrepair.operations.options import ImageOptions, UserInterface
from guestrepair.report.data import DiffReport
from guestrepair.session.live import LiveGuest
from tests.unit.operations.failing_guest import Failing
from tests.unit.session.test_session import made

__all__ = ["made"]  # a fixture


def test_an_image_a_moment_of_it_and_a_name_with_an_at(tmp_path: Path) -> None:
    image, odd = tmp_path / "image.qcow2", tmp_path / "me@host"
    image.touch()
    odd.touch()
    for text, path, moment in (
        (str(image), image, ""),
        (f"{image}@daily", image, "daily"),
        (f"{image}@before:20260101T0-abc", image, "before:20260101T0-abc"),
        (f"{image}@a b,c=\x1b", image, "a b,c=\x1b"),
        (str(odd), odd, ""),
        (f"{odd}@daily", odd, "daily"),
        (f"{image}@", Path(f"{image}@"), ""),
        ("@daily", Path("@daily"), ""),
        ("none@daily", Path("none@daily"), ""),
    ):
        assert parse_given(text) == Given(text, path, moment)


@pytest.mark.parametrize("arguments", [["diff"], ["diff", "a"], ["diff", "--format", "xml", "a", "b"]])
def test_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert invoke(arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_what_is_no_image(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("hello\n")
    assert invoke(["diff", str(text), str(tmp_path / "missing")]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "notes.txt" in said.err


def test_a_snapshot_of_what_has_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(1 << 20))
    assert invoke(["diff", f"{disk}@\x1b[2J", str(disk)]) == 3
    said = capsys.readouterr()
    assert "no internal snapshot" in said.err
    assert "\x1b" not in said.err


# --- a moment before a repair


def test_an_image_is_compared_with_itself_before_its_repair(made: Path, tmp_path: Path) -> None:
    image, state = tmp_path / "system.raw", state_directory(tmp_path / "state")
    shutil.copyfile(made / "system.raw", image)
    with Transaction.begin(examine(image), state) as transaction:
        change = f"write -P 0x41 {image.read_bytes().index(b'here')} 512"  # the content of its hostname
        subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", change, transaction.overlay], check=True, capture_output=True
        )
        record = transaction.commit({}, {})

    def compared(moment: str) -> DiffReport:
        options, alone = DiffOptions(state_dir=state), ImageOptions(host_only=True)
        return diff(f"{image}@{moment}", str(image), alone, options, UserInterface())

    found = compared(moment := f"before:{record.identifier}")
    assert (found.before, found.after) == (f"{image}@{moment}", str(image))
    assert [d.name for d in found.comparison.shown(noise=False)] == ["hostname"]
    with pytest.raises(GuestRepairError, match="20260101T000000"):
        compared("before:20260101T000000.000Z-abcdef")
    with pytest.raises(ImageError, match="no internal snapshot"):
        compared("after")


# --- what cannot be read


@pytest.mark.parametrize(
    ("error", "said", "begun_again"),
    [
        (GuestReadError("/var/lib/dpkg", "Input/output error"), "/var/lib/dpkg: Input/output error", 0),
        (FormatError("status is no text"), "status is no text", 0),
        (BindingError("no rpm", hint="apt install it"), "no rpm; apt install it", 0),
        (BudgetError("it", "stopped after 45 s"), "it: stopped after 45 s", 1),
    ],
)
def test_a_package_database_that_cannot_be_read_costs_the_packages(
    error: Exception, said: str, begun_again: int
) -> None:
    guest = Failing(error)
    side = _side("A", cast("LiveGuest", guest))
    assert (side.name, side.system.packages, side.no_packages) == ("A", None, said)
    assert guest.begun_again == begun_again
