"""No command shows a host file that a hostile image names: not in what it prints, nor in what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.hostile.headers import LEADING_OUT as BY_THE_HEADER
from fixtures.hostile.headers import REFERENCES
from fixtures.hostile.images import HOSTILE, SECRET, Hostile
from guestrepair.cli.main import invoke

LEADING_OUT = (
    "img-with-qcow2-header", "raw-with-qcow2-header", "raw-with-qcow2-header-said-qcow2",
    "img-with-header-naming-its-neighbour", "chain-over-undeclared-with-header", "backing-outside",
    "backing-by-link", "backing-json", "backing-json-nested", "backing-nbd", "backing-http", "backing-fat",
    "backing-text-file", "data-file-outside", "vmdk-extent-outside", "vmdk-extent-vertical-tab",
    "vmdk-parent", "loop-two", *(case.name for case in BY_THE_HEADER),
)  # fmt: skip
CASES = [case for case in (*HOSTILE, *REFERENCES) if case.name in LEADING_OUT]
MARK = SECRET.strip().decode()


def commands(image: str, good: str, state: str, out: str) -> list[list[str]]:
    """Every command that takes an image, and every way in which one is given."""
    return [
        ["inspect", image],
        ["inspect", image, "--format", "json"],
        ["scan", image],
        ["scan", image, "--format", "json", "-o", out],
        ["scan", good, "--disk", image],
        ["repair", image, "--dry-run", "--state-dir", state],
        ["repair", image, "--dry-run=verify", "--format", "json", "--state-dir", state],
        ["repair", image, "--yes", "--all", "--state-dir", state],
        ["repair", good, "--yes", "--donor", image, "--state-dir", state],
        ["undo", image, "--yes", "--state-dir", state],
        ["history", image, "--state-dir", state],
        ["history", image, "--format", "json", "--state-dir", state],
        ["boot", image],
        ["boot", image, "--format", "json"],
    ]


def test_the_cases_are_there() -> None:
    assert {case.name for case in CASES} == set(LEADING_OUT)


@pytest.mark.parametrize("by_link", [False, True], ids=["itself", "by-link"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_no_command_shows_the_secret(
    case: Hostile, tmp_path: Path, capfd: pytest.CaptureFixture[str], *, by_link: bool
) -> None:
    home = tmp_path / "images"
    home.mkdir()
    hostile = case.build(home)
    if by_link:
        link = tmp_path / f"link{hostile.suffix}"
        link.symlink_to(hostile)
        hostile = link
    good, state, out = tmp_path / "good.raw", tmp_path / "state", tmp_path / "report.json"
    good.write_bytes(bytes(1 << 20))
    said = ["--input-format", case.input_format] if case.input_format else []
    for command in commands(str(hostile), str(good), str(state), str(out)):
        given = [] if "--disk" in command or "--donor" in command else said
        status = invoke([*command, *given])
        printed = capfd.readouterr()
        assert status == 3, (command, printed)
        assert MARK not in printed.out + printed.err, command
        assert "Traceback" not in printed.err
    left = [path for path in (*state.rglob("*"), out) if path.is_file()]
    assert not any(SECRET in path.read_bytes() for path in left)
