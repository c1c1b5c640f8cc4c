"""The command that a report names next: to be copied as it stands, with all options and no secret."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.analyzers.base import AnalysisOptions
from guestrepair.cli import repair, scan, undo
from guestrepair.cli.options import again
from guestrepair.model import EditFile, Finding, GuestPath, Repair, Safety, Severity
from guestrepair.repair.plan import Plan
from guestrepair.report import table
from guestrepair.report.data import ImageReport, RepairOutcome

OF_ONE_RUN = {
    "dry_run", "host_only", "late", "brief", "known_digests", "new_image", "images", "image", "yes", "policy",
    "baseline", "write_baseline",
}  # fmt: skip
SECRETS = ("/dev/sda2:key:sesame", "key:sesame", "all:key:sesame", "file:/x:key:sesame", "key:sesame:file:")
IMAGE_OPTIONS = (
    ("--input-format", "raw"),
    ("--disk", "data disk.raw", "--disk", "it's.raw"),
    ("--all-disks-attached",),
    ("--root", "/dev/vg0/root"),
    ("--key", "/dev/sda2:file:my key.txt"),
    ("--allow-backing", "/srv/base images"),
    ("--stock-appliance",),
    ("--only", "fstab,sshd", "--skip", "sshd/config-syntax"),
    ("--fail-on", "note"),
    ("--profile", "golden", "--platform", "kvm,gce"),
    ("--digests", "all", "--deep"),
)
REPAIR_OPTIONS = (
    ("--donor", "a donor.qcow2"),
    ("--fetch",),
    ("--select", "fstab/*@/etc/fstab:3"),
    ("--all", "--no-guest-backup"),
    ("--prove-boot", "--allow-guest-programs"),
    ("--state-dir", "my state"),
)


def parsed(command: click.Command, arguments: list[str]) -> dict[str, Any]:
    """What a command makes of its arguments, without what belongs to one run alone."""
    with command.make_context("x", list(arguments)) as context:
        return {k: v for k, v in context.params.items() if k not in OF_ONE_RUN}


def words(command: click.Command, arguments: list[str], image: str, **report: Any) -> list[str]:
    """The words of the command that comes next, taken apart again by a shell's rules."""
    edit = EditFile(path=GuestPath("/f"), before=b"", edits=())
    found = Finding("a/b", Severity.ERROR, "x", "y", repair=Repair("z", Safety.SAFE, (edit,)))
    with command.make_context("x", [*arguments, "--", image]) as context:
        given = {name: context.params[name] for name in ("profile", "platforms") if context.params.get(name)}
        wanted = AnalysisOptions(**given)
        result = ImageReport(path=image, findings=[found], again=again(context, wanted), **report)
    lines = [line.strip() for line in table.render_image(result).splitlines()]
    (line,) = (line for line in lines if line.startswith(("Next: ", "undo: ")))
    return shlex.split(line.partition(": ")[2])


@pytest.mark.parametrize(
    "given",
    [list(pair) for n in (0, 1, 2) for pair in itertools.combinations(IMAGE_OPTIONS, n)]
    + [list(IMAGE_OPTIONS)],
)
def test_a_scan_names_the_repair_of_what_it_looked_at(given: list[tuple[str, ...]]) -> None:
    options = [word for group in given for word in group]
    program, command, *rest = words(scan.command, options, "disk one.qcow2")
    assert (program, command, rest[0], rest[-1]) == ("guestrepair", "repair", "--dry-run", "disk one.qcow2")
    expected = parsed(scan.command, [*options, "disk one.qcow2"])
    assert {k: v for k, v in parsed(repair.command, rest).items() if k in expected} == expected


@pytest.mark.parametrize(
    "given", [list(pair) for n in (0, 1, 2) for pair in itertools.combinations(REPAIR_OPTIONS, n)]
)
def test_a_dry_run_names_the_same_repair_without_it(given: list[tuple[str, ...]]) -> None:
    options = [word for group in (*given, *IMAGE_OPTIONS) for word in group]
    asked = ["--dry-run", *options]
    program, command, *rest = words(repair.command, asked, "disk.raw", plan=Plan())
    assert (program, command, rest[-1]) == ("guestrepair", "repair", "disk.raw")
    assert not {"--dry-run", "--yes"} & set(rest)
    assert parsed(repair.command, rest) == parsed(repair.command, [*asked, "disk.raw"])


def test_what_all_would_add_is_named_with_the_same_options() -> None:
    with repair.command.make_context("x", ["--yes", "--only", "fstab", "--", "-x"]) as context:
        left = ImageReport(path="-x", again=again(context, AnalysisOptions()), for_review=2)
    (line,) = (line for line in table.render_image(left).splitlines() if "--all" in line)
    said, _, command = line.partition("by: ")
    assert said == "2 repairs are marked review and left aside; planned, too, "
    assert shlex.split(command) == shlex.split("guestrepair repair --dry-run --all --only fstab -- -x")


def test_what_belongs_to_one_run_is_not_repeated(tmp_path: Path) -> None:
    report = tmp_path / "report"
    given = ["--timings", "--host-only", "-o", str(report), "--format", "json"]
    assert words(scan.command, given, "x") == [
        "guestrepair", "repair", "--dry-run", "x",
    ]  # fmt: skip


@pytest.mark.parametrize("key", SECRETS)
def test_a_key_given_as_text_is_left_to_the_prompt(key: str) -> None:
    found = words(scan.command, ["--key", key, "--key", "file:/root/key", "--root", "/dev/sda1"], "x")
    assert "sesame" not in " ".join(found)
    assert found[3:-1] == ["--root", "/dev/sda1", "--key", "file:/root/key"]


def test_an_undo_is_named_with_what_it_needs() -> None:
    outcome = RepairOutcome(committed=True, undo="1", state_dir="my state")
    given = [
        "--yes",
        "--input-format",
        "vhd",
        "--allow-backing",
        "/a b",
        "--disk",
        "c",
        "--state-dir",
        "my state",
    ]
    program, command, *rest = words(repair.command, given, "-x", outcome=outcome)
    assert (program, command) == ("guestrepair", "undo")
    assert parsed(undo.command, rest) == {
        "state_dir": Path("my state"), "input_format": "vhd", "allow_backing": (Path("/a b"),),
        "force": False,
    }  # fmt: skip
    assert rest[-2:] == ["--", "-x"]


PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=12)


@given(st.lists(PRINTABLE, max_size=3), PRINTABLE, PRINTABLE)
def test_any_name_comes_back_from_the_shell(disks: list[str], root: str, image: str) -> None:
    options = [f"--disk={disk}" for disk in disks] + [f"--root={root}"]
    _, _, *rest = words(scan.command, options, image)
    with repair.command.make_context("x", rest) as context:
        assert context.params["disks"] == tuple(map(Path, disks))
        assert context.params["root"] == root
        assert context.params["image"] == Path(image)
