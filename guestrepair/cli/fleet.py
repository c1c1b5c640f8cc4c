"""``guestrepair fleet``: many images in one run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from guestrepair.cli.console import Console
from guestrepair.cli.fleet_repair import repair, undo
from guestrepair.cli.fleet_report import command as report
from guestrepair.cli.fleet_run import OF_THE_FLEET, engine_of, options_of_a_fleet, teller, words_given
from guestrepair.cli.fleet_table import table
from guestrepair.cli.options import (
    analyzer_options,
    host_only_option,
    image_options,
    to_image_options,
    to_scan_options,
)
from guestrepair.cli.profile import profile_option
from guestrepair.cli.standards import said_by_the_user, standard_options, to_standard_options
from guestrepair.cli.targets import target_options
from guestrepair.disk.signals import cleaned_up_on_termination
from guestrepair.errors import UsageError
from guestrepair.fleet.admission import APPLIANCE_BYTES, HOST_ONLY_BYTES
from guestrepair.fleet.jobs import Engine, Limits
from guestrepair.fleet.operation import KNOWN_DIGESTS, Run, digest_of_what_is_wanted, exit_status, run_fleet
from guestrepair.fleet.shards import WHOLE, parse_shard
from guestrepair.fleet.sources import gather
from guestrepair.fleet.state import State
from guestrepair.fleet.supervisor import Work

Command = TypeVar("Command", bound=Callable[..., Any])
_OF_ONE_IMAGE = frozenset({"disks", "write_baseline", "all_disks_attached", "root"})
"""Options of a scan that make no sense for many images: a list's line has them for each."""


@click.group("fleet")
def command() -> None:
    """Many images in one run, which goes on where it was after an interruption.

    Each image gets a process with limits of its own. What is done is kept in the state directory.

    \b
    guestrepair fleet scan --state night1 /srv/images
    guestrepair fleet scan --state night1 --from list.txt --host-only
    guestrepair fleet validate --state build42 build/*.qcow2
    guestrepair fleet report night1
    guestrepair fleet repair --state night1 --dry-run /srv/images
    """


command.add_command(report)
command.add_command(repair)
command.add_command(undo)


def scan_options_of_a_fleet(command: Command) -> Command:
    """The options of a scan that make sense for many images."""
    decorators = (
        click.argument("images", nargs=-1, metavar="[IMAGE|DIR|PATTERN|libvirt:]..."),
        options_of_a_fleet(*OF_THE_FLEET),
        analyzer_options,
        profile_option(),
        target_options,
        standard_options,
        image_options,
        host_only_option,
    )
    for decorator in reversed(decorators):
        command = decorator(command)
    parameters: list[click.Parameter] = command.__click_params__  # type: ignore[attr-defined]
    parameters[:] = [each for each in parameters if each.name not in _OF_ONE_IMAGE]
    return command


@command.command("scan")
@scan_options_of_a_fleet
@click.pass_obj
def scan(console: Console, /, **values: Any) -> int:
    """Scan many images: files, directories, patterns in quotes, lists, libvirt's machines.

    Each is scanned as "guestrepair scan" does, but its appliance starts only when the host cannot tell. The
    report of each is in DIR/reports. Run again with the same DIR, it goes on where it was: what is done is
    not done again while image, options and version are the same.

    \b
    guestrepair fleet scan --state night1 --from list.txt
    guestrepair fleet scan --state night1 '/srv/images/*.qcow2' --host-only --jobs 8
    ls *.qcow2 | guestrepair fleet scan --state night1 --from -

    Exit status: the highest of its images: 0 nothing found, 1 something found (0 with --exit-zero), 2 wrong
    usage or a line that is not understood, 3 an image could not be examined, 130 interrupted.
    """
    return _run(console, "scan", values)


@command.command("validate", context_settings={"default_map": {"fail_on": "warning", "profile": "golden"}})
@scan_options_of_a_fleet
@click.pass_obj
def validate(console: Console, /, **values: Any) -> int:
    """Check many images before they are deployed, as "guestrepair validate" does.

    \b
    guestrepair fleet validate --state build42 --policy guestrepair.toml build/

    Exit status: as of "fleet scan".
    """
    return _run(console, "validate", values)


def _run(console: Console, what: str, values: dict[str, Any]) -> int:
    """The run of ``fleet scan`` and ``fleet validate``; its exit status."""
    context = click.get_current_context()
    fleet = {name: values.pop(name) for name in OF_THE_FLEET}
    images = values.pop("images")
    if (fleet["engine"] == "dask") != bool(fleet["scheduler"]):
        raise UsageError("--engine dask and --scheduler ADDRESS go together", hint="give both, or none")
    words = tuple(words_given(context, OF_THE_FLEET))
    files = _checked(what, values, context)
    sources = gather(images, fleet["lists"], sys.stdin.buffer)
    host_only = "--host-only" in words
    ours = ["--late-appliance", "--facts", "--format", "json"]
    if fleet["engine"] == "local":
        ours += ["--known-digests", str((fleet["state_dir"] / KNOWN_DIGESTS).absolute())]
    work = Work(
        words=lambda row: (what, *words, *row.options, *ours, "--", row.uri),
        limits=Limits(seconds=fleet["timeout"], memory_bytes=fleet["memory"]),
        needs_bytes=HOST_ONLY_BYTES if host_only else APPLIANCE_BYTES,
        retries=fleet["retries"],
        host_only=host_only,
    )
    shard = parse_shard(fleet["shard"], fleet["shards"], os.environ) if fleet["shard"] else WHOLE
    run = Run(
        directory=fleet["state_dir"],
        sources=sources,
        shard=shard,
        wanted=digest_of_what_is_wanted(what, words, files),
        work=work,
        again=fleet["afresh"],
    )
    with cleaned_up_on_termination():
        rows = run_fleet(run, lambda state: _engine(state, fleet, host_only=host_only), teller(console))
    console.clear()
    click.echo(table(rows), nl=False)
    return exit_status(rows, exit_zero=fleet["exit_zero"])


def _checked(what: str, values: dict[str, Any], context: click.Context) -> list[Path | None]:
    """Refuse once, ahead of all images, what each of them would refuse; the files that a result depends on.

    Raises:
        UsageError: the options contradict each other, a policy or a baseline is wrong.
    """
    given = {"disks": (), "write_baseline": None, "all_disks_attached": False, "root": "", **values}
    machine = given.get("machine")
    fail_on = given.pop("fail_on")
    standards = to_standard_options(given, search=what == "validate")
    to_image_options(given)
    wanted = to_scan_options(given)
    policy = standards.policy
    if wanted.only or wanted.skip:
        from guestrepair.operations.analysis import chosen_analyzers

        chosen_analyzers(wanted)
    if standards.any_given:
        from guestrepair.cli.weighing import Weighing
        from guestrepair.operations.standards import find_policy

        Weighing.read(standards, wanted, fail_on, said_by_the_user(context))
        if policy is None and standards.search_from is not None:
            policy = find_policy(standards.search_from)
    return [policy, standards.baseline, machine]


def _engine(state: State, fleet: dict[str, Any], *, host_only: bool) -> Engine:
    """The engine that was asked for."""
    if fleet["engine"] == "dask":
        from guestrepair.fleet.engines.dask import DaskEngine

        return DaskEngine(fleet["scheduler"])
    return engine_of(state, fleet["jobs"], host_only=host_only)
