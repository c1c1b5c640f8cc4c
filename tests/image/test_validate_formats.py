"""validate gives a guest the verdict that it deserves, and every format says that same verdict.

One launch a guest: its report is taken from the command itself, and written in all formats.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

import fixtures
from fixtures.debian.cloud import NAME
from guestrepair.cli import console as terminal
from guestrepair.cli.main import invoke
from guestrepair.model import Severity
from guestrepair.report.data import Report, summary
from guestrepair.report.formats import names_for, renderer
from guestrepair.report.headline import headline
from tests.image.conftest import Damaged
from tests.image.test_golden import RULES
from tests.support.program import guestrepair, run
from tests.support.schemas import check_events, check_report, check_sarif

pytestmark = pytest.mark.image

Validate = Callable[..., tuple[int, Report]]
DECIDED = """
[[ignore]]
rule = "golden/no-time-sync"
reason = "the hypervisor keeps the clock"

[[ignore]]
rule = "golden/build-user-sudo"
reason = "admin is the account of every copy"
"""


@pytest.fixture
def validate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Validate:
    """Run the command; its exit status and its report, which formats are then made of."""
    taken: list[Report] = []

    def keeping(_name: str, _kind: type, *, coloured: bool) -> Callable[[Any], str]:
        assert not coloured
        return lambda report: taken.append(report) or ""  # type: ignore[func-returns-value]

    def call(*arguments: str | Path) -> tuple[int, Report]:
        taken.clear()
        status = invoke(["validate", *map(str, arguments)])
        (report,) = taken
        return status, report

    monkeypatch.setattr(terminal, "renderer", keeping)
    monkeypatch.chdir(tmp_path)  # no policy of whoever runs the tests
    return call


def fits(report: Report) -> dict[str, bool | None]:
    return {each.name: each.fits for each in report.images[0].platforms}


def rules(report: Report, *severities: Severity) -> set[str]:
    return {f.rule for f in report.images[0].findings if f.severity in (severities or Severity)}


def check_formats(report: Report, tmp_path: Path) -> None:
    """Each format says as many errors and warnings as there are, and what the headline says."""
    written = {name: renderer(name, Report)(report) for name in names_for(Report)}
    assert {"table", "json", "sarif", "junit", "gitlab", "github", "markdown", "html"} <= set(written)
    (image,) = report.images
    counts = summary(report.images)
    errors, warnings, notes = (counts[s.value] for s in Severity)
    unclear = counts["inconclusive"] + len(image.errors)

    check_report(written["json"])
    document = json.loads(written["json"])
    assert document["summary"] == counts
    assert document["images"][0]["headline"] == headline(image)

    check_sarif(written["sarif"])
    (ran,) = json.loads(written["sarif"])["runs"]
    levels = Counter(r["level"] for r in ran["results"] if not r.get("suppressions"))
    assert (levels["error"], levels["warning"], levels["note"]) == (errors, warnings, notes)

    (tmp_path / "junit.xml").write_text(written["junit"])
    suites = JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    failing = {f.rule for f in image.open_at_or_above(report.fail_on)}
    assert (suites.failures, suites.errors) == (len(failing), unclear)

    gitlab = Counter(each["severity"] for each in json.loads(written["gitlab"]))
    assert (gitlab["critical"], gitlab["major"], gitlab["minor"]) == (errors, warnings + unclear, notes)

    commands = Counter(line.split(" ")[0] for line in written["github"].splitlines())
    assert commands["::error"] == min(10, errors + unclear)
    assert commands["::warning"] == min(10, warnings)

    named = ((errors, "error"), (warnings, "warning"), (notes, "note"))
    words = ", ".join(f"{count} {name}{'s' * (count != 1)}" for count, name in named if count)
    assert f"\nResult: {words or 'nothing found.'}" in written["table"]
    for name in ("markdown", "html"):
        assert (words or "othing found") in written[name], name
    for name in ("github", "markdown", "html", "table", "junit"):
        assert " ".join(headline(image).split())[:50] in " ".join(written[name].split()), name


def test_a_machine_that_is_no_golden_image(debian_image: Path, validate: Validate, tmp_path: Path) -> None:
    status, report = validate(debian_image, "--platform", "kvm,azure-gen2")
    assert status == 1
    assert fits(report) == {"kvm": True, "azure-gen2": False}
    assert rules(report, Severity.ERROR, Severity.WARNING) == {
        "golden/authorized-keys", "golden/build-user-sudo", "golden/hostname", "golden/machine-id",
        "golden/no-time-sync", "golden/password", "golden/ssh-host-key", "platform/agent-missing",
        "platform/container", "platform/swap",
    }  # fmt: skip
    check_formats(report, tmp_path)


@pytest.mark.long
def test_a_sealed_image_passes(validate: Validate, tmp_path: Path) -> None:
    """What is left is for a person to decide about; the policy says that one did."""
    image = fixtures.copy_of(NAME, tmp_path / "image.qcow2")
    state = ("--state-dir", tmp_path / "state")
    sealed = guestrepair("repair", "--profile", "golden", "--no-cause", "--yes", "--all", *state, image)
    assert sealed.problems == {
        "golden/build-user-sudo@/etc/sudoers.d/admin:1",
        "golden/no-time-sync@/etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service",
    }
    (tmp_path / "guestrepair.toml").write_text(DECIDED)
    status, report = validate(image, "--platform", "kvm,openstack", "--no-cause")
    (image_report,) = report.images
    assert image_report.inconclusive == []
    assert status == 0
    assert fits(report) == {"kvm": True, "openstack": True}
    ignored = {"golden/build-user-sudo", "golden/no-time-sync"}
    assert rules(report, Severity.ERROR, Severity.WARNING) == ignored
    assert summary(report.images)["suppressed"] == len(ignored)
    check_formats(report, tmp_path)


@pytest.mark.long
def test_every_golden_fault_is_said(planted_image: Path, validate: Validate, tmp_path: Path) -> None:
    status, report = validate(planted_image, "--platform", "kvm,azure-gen2", "--no-cause")
    assert status == 1
    assert fits(report) == {"kvm": True, "azure-gen2": False}
    found = {rule.partition("/")[2] for rule in rules(report) if rule.startswith("golden/")}
    assert found == RULES - {"no-serial-console"}  # it is the platform's to say, and not said twice
    assert "platform/console" in rules(report)
    check_formats(report, tmp_path)


def test_faults_for_a_platform(damaged: Damaged, validate: Validate, tmp_path: Path) -> None:
    """A VHD of the right kind, not of whole MiB; a console that Azure does not show."""
    image, disk = damaged(["no-serial-console"]), tmp_path / "disk.vhd"
    convert = ["qemu-img", "convert", "-f", "qcow2", "-O", "vpc", "-o", "subformat=fixed"]
    subprocess.run([*convert, image, disk], check=True)
    status, report = validate(disk, "--platform", "azure-gen2", "--only", "platform", "--no-cause")
    assert status == 1
    assert fits(report) == {"azure-gen2": False}
    said = {f.rule: f.message for f in report.images[0].findings if f.severity is not Severity.NOTE}
    assert set(said) == {f"platform/{name}" for name in ("agent-missing", "console", "container", "swap")}
    assert said["platform/container"].endswith("azure-gen2 needs a size of whole MiB")
    assert said["platform/console"].endswith("azure-gen2 needs console=ttyS0")
    check_formats(report, tmp_path)


@pytest.mark.long
def test_a_timeline_is_as_its_schema_says(debian_image: Path) -> None:
    done = run("timeline", debian_image, "--format", "jsonl", "--since", "2020-01-01", "--grep", "/etc/")
    assert done.returncode == 0, done.stderr
    check_events(done.stdout)
    print(f"{len(done.stdout.splitlines())} events")
    assert done.stdout
