"""``python -m benchmarks``: measure, print the table, and write RESULTS.md and results.json.

NOTES.md, a person's words on the last full run, goes below the tables of RESULTS.md.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

import fixtures
from benchmarks.clones import BY_THEMSELVES, CLONES, clones, fleets
from benchmarks.guests import FIRST_BYTES, HISTORY, SERIES, Growth, built
from benchmarks.measure import Result, Run, measured
from benchmarks.report import Report, machine
from benchmarks.subjects import (
    GUESTREPAIR,
    Subject,
    by_hand,
    environment,
    of_disk,
    ours,
    peers,
    repairing,
    timelines,
    version,
)
from fixtures.faults.guest import damaged
from fixtures.run import run

ROOT_DEVICE = "/dev/sda3"
"""Of the Debian server image: BIOS boot partition and ESP come before its root."""

DISKS = {"debian-lvm-xfs": "/dev/rl/root", "debian-btrfs": "/dev/sda1"}
"""Guests on other kinds of disks, and where their root filesystems are."""

PARTS = ("side-by-side", "disks", "growth", "timeline", "fleet")
HERE = Path(__file__).parent


def alternating(subjects: Sequence[Subject], rounds: int) -> list[Result]:
    """Every subject once, then every subject again, so that a slow minute of the machine hits all alike."""
    runs: dict[str, list[Run]] = {subject.name: [] for subject in subjects}
    problems: dict[str, str] = {}
    env = environment()
    most = max(subject.rounds or rounds for subject in subjects)
    for number in range(most):
        for subject in subjects:
            if number >= (subject.rounds or rounds) or subject.name in problems:
                continue
            if subject.prepare is not None:
                subject.prepare()
            try:
                done = measured(subject.command, env=env, expected=subject.expected)
            except (RuntimeError, OSError) as error:
                problems[subject.name] = " ".join(str(error).split())
                continue
            runs[subject.name].append(done)
            click.echo(f"{done.seconds:8.2f} s  {subject.name}", err=True)
    return [Result(s.name, tuple(runs[s.name]), problems.get(s.name, "")) for s in subjects]


def side_by_side(rounds: int, work: Path) -> list[Result]:
    """The peers and guestrepair on one image, and the repair of a broken one."""
    image = fixtures.build("debian-server")
    subjects = [version(), *peers(image, ROOT_DEVICE), *ours(image)]
    subjects += repairing(fixtures.build("demo"), image, work)
    raw, mount_point = work / "server.raw", work / "mnt"
    run(["qemu-img", "convert", "-O", "raw", str(image), str(raw)])
    mount_point.mkdir()
    table = json.loads(run(["sfdisk", "--json", str(raw)]))["partitiontable"]["partitions"]
    start = int(table[int(ROOT_DEVICE[-1]) - 1]["start"]) * 512
    return alternating([*subjects, by_hand(raw, start, mount_point)], rounds)


def other_disks(rounds: int, work: Path) -> list[Result]:
    """The same on LVM with XFS, and on btrfs: each beside a floor of its own."""
    subjects = []
    for name, root in DISKS.items():
        (work / name).mkdir()
        broken = damaged(name, ["bin-missing"], out=work / name / "missing.qcow2")
        subjects += of_disk(name, fixtures.build(name), root, broken, work / name)
    return alternating(subjects, rounds)


def growing(series: Sequence[Growth]) -> list[Result]:
    """One scan of every guest of the series, all digests compared."""
    subjects = [
        Subject(guest.name, (GUESTREPAIR, "scan", "--timings", "--digests", "all", str(built(guest))),
                expected=(0, 1, 3))
        for guest in series
    ]  # fmt: skip
    return alternating(subjects, 1)


def history(work: Path) -> list[Result]:
    """The timelines of a guest of many files and a gigabyte of logs, once each: they take minutes."""
    return alternating(timelines(built(HISTORY), FIRST_BYTES // 512, work), 1)


def of_clones(count: int, work: Path) -> list[Result]:
    """Clones of the server by themselves and as a fleet, once each: they take minutes."""
    folder = work / "clones"
    folder.mkdir()
    image = fixtures.build("debian-server")
    return alternating(fleets(clones(image, ROOT_DEVICE, folder, count), folder), 1)


@click.command()
@click.option(
    "--quick", is_flag=True, help="One round, and the smallest guests: to see that all of it works."
)
@click.option("--rounds", default=3, show_default=True, help="How often each subject is run.")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this part.")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), default=HERE, help="Where the results go."
)
def main(*, quick: bool, rounds: int, parts: tuple[str, ...], output: Path) -> None:
    """Measure what guestrepair costs; nobody else should use the machine meanwhile."""
    report = Report(machine=machine())
    chosen = parts or PARTS
    # Once, untimed: the caches are filled, as they are for any second command.
    image = fixtures.build("debian-server")
    measured((GUESTREPAIR, "inspect", str(image)), env=environment())
    with tempfile.TemporaryDirectory(dir=fixtures.cache_directory(), prefix=".benchmark-") as work:
        if "side-by-side" in chosen:
            report.results = side_by_side(1 if quick else rounds, Path(work))
        if "disks" in chosen:
            report.disks = other_disks(1 if quick else rounds, Path(work))
        if "growth" in chosen:
            report.growth = growing(SERIES[:1] if quick else SERIES)
        if "timeline" in chosen and not quick:
            report.history = history(Path(work))
        if "fleet" in chosen:
            report.clones = BY_THEMSELVES if quick else CLONES
            report.fleet = of_clones(report.clones, Path(work))
    page = report.as_markdown()
    click.echo(page)
    output.mkdir(parents=True, exist_ok=True)
    if not quick and not parts:
        (output / "RESULTS.md").write_text(f"{page}\n{(HERE / 'NOTES.md').read_text()}")
    (output / "results.json").write_text(json.dumps(report.as_json(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
