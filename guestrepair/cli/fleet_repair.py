"""``guestrepair fleet repair`` and ``fleet undo``: many images repaired in waves, and taken back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from tabulate import tabulate

from guestrepair.analyzers.base import all_rules
from guestrepair.cli.completing import rules
from guestrepair.cli.console import Console
from guestrepair.cli.fleet_run import FLEET_BASICS, engine_of, options_of_a_fleet, teller, words_given
from guestrepair.cli.fleet_table import short
from guestrepair.cli.options import (
    PATH,
    analyzer_options,
    image_options,
    to_image_options,
    to_scan_options,
)
from guestrepair.cli.profile import profile_option
from guestrepair.cli.targets import target_options
from guestrepair.disk import state_directory
from guestrepair.disk.signals import cleaned_up_on_termination
from guestrepair.errors import UsageError
from guestrepair.fleet.admission import APPLIANCE_BYTES
from guestrepair.fleet.jobs import Limits
from guestrepair.fleet.operation import digest_of_what_is_wanted, exit_status
from guestrepair.fleet.sources import Source, gather, is_local
from guestrepair.fleet.state import DONE, QUEUED, SKIPPED, Row
from guestrepair.fleet.supervisor import Work
from guestrepair.fleet.waves import WAVES, Wave, begin, has_failed, run_wave, take_back, the_wave
from guestrepair.repair.choose import check_selection
from guestrepair.report.escape import printable, shell_words

Command = TypeVar("Command", bound=Callable[..., Any])
_OURS = (*FLEET_BASICS, "yes", "dry_run", "canary", "max_failures", "undo_data")
_MAX_NAMED = 5
_ELSEWHERE = "it lies elsewhere: a fleet is repaired on this host (repair --output makes a copy of one)"


def _repair_options(command: Command) -> Command:
    decorators = (
        click.argument("images", nargs=-1, metavar="[IMAGE|DIR|PATTERN|libvirt:]..."),
        options_of_a_fleet(*FLEET_BASICS),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("--dry-run", is_flag=True, help="Say what would be repaired where, and write nothing."),
        click.option("--all", "everything", is_flag=True,
                     help="Also make the repairs that are marked review."),
        click.option("--select", multiple=True, metavar="RULE[@SUBJECT]", shell_complete=rules,
                     help="Only these repairs, safe or marked review; shell patterns; repeatable."),
        click.option("--canary", default=1, show_default=True, type=click.IntRange(0, 1_000_000), metavar="N",
                     help="Repair so many first; the others only when those went well."),
        click.option("--max-failures", default=1, show_default=True, type=click.IntRange(1, 1_000_000),
                     metavar="N", help="Begin nothing more after so many failures."),
        click.option("--donor", "donors", multiple=True, type=PATH, metavar="IMAGE|DIR",
                     help="A healthy system of the same distribution to take missing packaged files from; "
                     "repeatable."),
        click.option("--packages", multiple=True,
                     type=click.Path(path_type=Path, exists=True, file_okay=False),
                     help="A directory of .deb, .rpm, .apk or .pkg.tar files to take missing files from; "
                     "repeatable."),
        click.option("--no-guest-backup", is_flag=True,
                     help="Leave no copies beside edited files in the guest."),
        click.option("--state-dir", "undo_data", type=PATH, help="Where undo data is kept."),
        analyzer_options,
        profile_option(),
        target_options,
        image_options,
    )  # fmt: skip
    for decorator in reversed(decorators):
        command = decorator(command)
    left_out = {"disks", "root", "all_disks_attached", "fail_on", "header_file"}
    parameters: list[click.Parameter] = command.__click_params__  # type: ignore[attr-defined]
    parameters[:] = [each for each in parameters if each.name not in left_out]
    return command


@click.command("repair")
@_repair_options
@click.pass_obj
def repair(console: Console, /, **values: Any) -> int:
    """Repair many images in a wave: a few first, the rest when those went well.

    Each image is repaired as "guestrepair repair --yes" does it, all or nothing, with undo data of its own.
    After --max-failures nothing more is begun; what was not begun is said. The same command again goes on
    with the wave that was not finished: what failed comes last, and what is left out of the list is not
    waited for. "fleet undo" takes a wave back, bit for bit.

    \b
    guestrepair fleet repair --state night1 --dry-run /srv/images
    guestrepair fleet repair --state night1 --yes --select fstab/source-not-found /srv/images
    guestrepair fleet repair --state night1 --yes --all --canary 3 --from broken.txt

    Exit status: the highest of its images: 0 repaired, or nothing to repair, 1 some findings are left,
    2 wrong usage, 3 an image could not be examined, or was not begun, 4 a repair failed and that image is as
    it was.
    """
    ours = {name: values.pop(name) for name in _OURS}
    if not (ours["yes"] or ours["dry_run"] or console.can_ask):
        raise UsageError(
            "fleet repair asks before it writes, and nobody is at the terminal",
            hint="--yes makes the safe repairs without asking; --dry-run shows them",
        )
    words = tuple(words_given(click.get_current_context(), _OURS))
    _check(values)
    sources = [_local(source) for source in gather(values["images"], ours["lists"], sys.stdin.buffer)]
    with cleaned_up_on_termination():
        if not ours["yes"]:
            rows = _run(console, ours, sources, (*words, "--dry-run"))
            if ours["dry_run"]:
                return exit_status(rows)
            click.confirm(f"Repair these {len(sources)} images?", abort=True, err=True)
        return _status(_run(console, ours, sources, (*words, "--yes")))


def _run(
    console: Console, ours: dict[str, Any], sources: Sequence[Source], words: Sequence[str]
) -> list[Row]:
    """One wave, or what would be one; its table is shown."""
    dry = "--dry-run" in words
    undo_data = state_directory(ours["undo_data"])
    work = Work(
        words=lambda row: (
            "repair", *words, *row.options, *(f"--donor={donor}" for donor in row.donors),
            f"--state-dir={undo_data}", "--format=json", "--", row.uri,
        ),
        limits=Limits(seconds=ours["timeout"], memory_bytes=ours["memory"]),
        needs_bytes=APPLIANCE_BYTES,
        retries=0,
        max_failures=None if dry else ours["max_failures"],
        is_failure=has_failed,
    )  # fmt: skip
    wanted = digest_of_what_is_wanted("repair", words, ())
    wave = begin(ours["state_dir"], sources, wanted, undo_data, "dry-runs" if dry else WAVES)
    rows = run_wave(
        wave,
        sources,
        work,
        0 if dry else ours["canary"],
        lambda state: engine_of(state, ours["jobs"], host_only=False),
        teller(console),
    )
    console.clear()
    click.echo(_table(wave, rows, dry=dry), nl=False)
    return rows


def _check(values: dict[str, Any]) -> None:
    """Refuse once, ahead of all images, what each of them would refuse.

    Raises:
        UsageError: the options contradict each other, or name a rule that there is not.
    """
    given = {"disks": (), "all_disks_attached": False, "root": "", "header_file": None, **values}
    to_image_options(given)
    wanted = to_scan_options(given)
    check_selection(values["select"], list(all_rules()))
    if wanted.only or wanted.skip:
        from guestrepair.operations.analysis import chosen_analyzers

        chosen_analyzers(wanted)


def _local(source: Source) -> Source:
    return source if source.problem or is_local(source.uri) else replace(source, problem=_ELSEWHERE)


def _status(rows: Sequence[Row]) -> int:
    return max(exit_status(rows), 3 if any(row.state == QUEUED for row in rows) else 0)


def _table(wave: Wave, rows: Sequence[Row], *, dry: bool) -> str:
    cells = [(printable(row.shown), *_outcome(wave, row, dry=dry)) for row in rows]
    headers = ("image", "outcome", "left: errors", "warnings", "what there is to say")
    listed = tabulate(cells, headers=headers, tablefmt="simple", disable_numparse=True)
    return f"{listed}\n\n{_sums(wave, rows, dry=dry)}\n"


def _outcome(wave: Wave, row: Row, *, dry: bool) -> tuple[str, object, object, str]:
    record = _record(wave, row)
    if row.state == QUEUED:
        return "not begun", "", "", "too many failed before it"
    if row.state == SKIPPED:
        return "skipped", "", "", short(row.error)
    if has_failed(row):
        return "failed, as it was", row.errors, row.warnings, short(row.error or row.verdict)
    image = (record.get("images") or [{}])[0]
    if dry:
        count = len(image.get("plan") or ())
        outcome = f"{count} change{'' if count == 1 else 's'} to be made" if count else "nothing to repair"
    else:
        count = record.get("summary", {}).get("repaired", 0)
        committed = (image.get("repair") or {}).get("committed")
        outcome = f"{count} repaired" if committed else "nothing to repair"
    return outcome, row.errors, row.warnings, short(row.verdict)


def _record(wave: Wave, row: Row) -> dict[str, Any]:
    try:
        found = json.loads((wave.directory / row.report_path).read_bytes()) if row.report_path else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _sums(wave: Wave, rows: Sequence[Row], *, dry: bool) -> str:
    done = sum(row.state == DONE for row in rows)
    waiting = sum(row.state == QUEUED for row in rows)
    failed = sum(map(has_failed, rows))
    counts = ((f"{done} done", True), (f"{failed} failed", failed), (f"{waiting} not begun", waiting))
    said = ", ".join(words for words, shown in counts if shown)
    if dry:
        return f"Result: {said}; nothing was written"
    state = shell_words([str(wave.directory.parent.parent)])
    back = f"guestrepair fleet undo --state {state} --wave {wave.identifier}"
    return "\n".join([f"Result: wave {wave.identifier}: {said}", *_next_steps(rows), f"undo: {back}"])


def _next_steps(rows: Sequence[Row]) -> Iterator[str]:
    """How to go on where images failed, or were not begun."""
    failed = [printable(row.shown) for row in rows if has_failed(row)]
    if failed:
        more = f" and {len(failed) - _MAX_NAMED} more" if len(failed) > _MAX_NAMED else ""
        yield f"failed: {', '.join(failed[:_MAX_NAMED])}{more}"
        yield "  the same command tries it again, after all others; leave it out to finish without it"
    if any(row.state == QUEUED for row in rows):
        yield "not begun: the same command goes on with these"
        yield f"  it ends after --max-failures again: {len(failed) + 1} lets as many fail as now, and goes on"


@click.command("undo")
@click.option(
    "--state",
    "state_dir",
    required=True,
    type=PATH,
    metavar="DIR",
    help="Where state and reports are kept; the same DIR again goes on where it was.",
)
@click.option("--wave", default="", metavar="ID", help="Which wave; the last one unless it is given.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def undo(console: Console, /, *, state_dir: Path, wave: str, yes: bool) -> int:
    """Take the repairs of a wave back, image by image, bit for bit.

    An image that was repaired again since, or has changed, is left as it is and said. Run again, it goes on
    with what is left.

    \b
    guestrepair fleet undo --state night1 --yes
    guestrepair fleet undo --state night1 --wave 20261130T214500Z

    Exit status: 0 all of it is taken back, 2 wrong usage, 3 something could not be.
    """
    chosen = the_wave(state_dir, wave)
    if not yes:
        if not console.can_ask:
            raise UsageError("undo asks before it writes, and there is no terminal", hint="say --yes")
        click.confirm(
            f"Take wave {chosen.identifier} back, {len(chosen.before)} images?", abort=True, err=True
        )
    found = take_back(chosen, console.progress)
    console.clear()
    for each in found:
        what = "undone" if each.done else "left" if each.failed else "nothing to undo"
        click.echo(printable(f"{each.uri}: {what}: {each.said}"))
    return 3 if any(each.failed for each in found) else 0
