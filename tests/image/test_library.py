"""guestrepair as a library: docs/library.md runs as it stands, and what it says of errors and types holds."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fixtures
import guestrepair
from guestrepair import (
    ImageReport,
    NotExaminedError,
    Severity,
    UsageError,
    exit_status,
    inspect,
    scan,
    to_json,
)
from tests.support.program import report_of
from tests.support.schemas import validator

pytestmark = pytest.mark.image
DOCUMENT = Path(__file__).parents[2] / "docs/library.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def image() -> Path:
    return fixtures.build("rocky9-like")


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_examples_run(number: int, image: Path, tmp_path: Path) -> None:
    """As a program of its own, in a directory with an image of that name."""
    (tmp_path / "server.qcow2").symlink_to(image)
    (tmp_path / "example.py").write_text(EXAMPLES[number])
    done = subprocess.run(
        [sys.executable, "-W", "error", "example.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if number == 1:
        assert "Rocky Linux 9" in done.stdout
        assert '{"schema": "guestrepair.report/1"' in done.stdout
        assert done.stdout.splitlines()[-1] in {"0", "1", "3"}


def test_it_finds_what_the_command_line_finds(image: Path) -> None:
    report = scan(image, host_only=True)
    status, document = report_of("scan", "--host-only", image)
    ours = to_json(report)
    validator("report-1").validate(ours)
    assert ours["images"][0]["findings"] == document["images"][0]["findings"]
    assert ours["images"][0]["inconclusive"] == document["images"][0]["inconclusive"]
    assert exit_status(report) == status


def test_what_cannot_be_examined_is_raised(tmp_path: Path) -> None:
    for look in (scan, inspect, guestrepair.validate):
        with pytest.raises(NotExaminedError) as raised:
            look(tmp_path / "missing")
        assert raised.value.exit_status == 3
        assert isinstance(raised.value.report, ImageReport)
        assert "no such file" in str(raised.value)
        assert exit_status(raised.value.report, fail_on=None) == 3


def test_wrong_options(image: Path) -> None:
    with pytest.raises(UsageError, match="no analyzer or rule"):
        scan(image, only=["no-such"])
    with pytest.raises(UsageError, match="no platform"):
        scan(image, platforms=["no-such"])
    with pytest.raises(TypeError, match="'onyl'"):
        scan(image, onyl=["fstab"])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'policy'"):
        scan(image, policy="x")  # type: ignore[call-arg]


def test_a_policy_weighs(image: Path, tmp_path: Path) -> None:
    plain = guestrepair.validate(image, host_only=True, only=["golden"])
    rules = sorted({f.rule for f in plain.findings if f.is_open})
    assert rules
    policy = tmp_path / "guestrepair.toml"
    policy.write_text("".join(f'[[ignore]]\nrule = "{rule}"\nreason = "a test"\n' for rule in rules))
    weighed = guestrepair.validate(image, host_only=True, only=["golden"], policy=policy)
    assert [f.rule for f in weighed.findings if f.suppressed is None] == []
    assert exit_status(weighed, Severity.NOTE) in {0, 3}
    with pytest.raises(UsageError):
        guestrepair.validate(image, policy=tmp_path / "missing.toml")
