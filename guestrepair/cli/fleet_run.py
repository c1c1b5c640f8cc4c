"""What the commands over many images share: options of the run itself, its engine, its progress."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from guestrepair.cli.console import Console
from guestrepair.cli.options import PATH
from guestrepair.fleet.admission import MIB, Admission, usual_jobs
from guestrepair.fleet.jobs import Engine
from guestrepair.fleet.state import State
from guestrepair.fleet.supervisor import Progress

Command = TypeVar("Command", bound=Callable[..., Any])
_DURATION = re.compile(r"([0-9]{1,6})(s|m|h)?")
_SECONDS = {"s": 1, "m": 60, "h": 3600, None: 1}
_SIZE = re.compile(r"([0-9]{1,6})(M|G)")
FLEET_BASICS = ("state_dir", "lists", "jobs", "timeout", "memory")
"""The options, by their names inside, that every run over many images has."""

OF_THE_FLEET = (*FLEET_BASICS, "engine", "scheduler", "shard", "shards", "retries", "afresh", "exit_zero")
"""All of them."""

_SAID = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def _duration(_context: click.Context, _option: click.Parameter, value: str) -> float:
    match = _DURATION.fullmatch(value)
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{value!r} is no time: 90s, 10m, 2h")
    return float(int(match[1]) * _SECONDS[match[2]])


def _size(_context: click.Context, _option: click.Parameter, value: str) -> int:
    match = _SIZE.fullmatch(value)
    if match is None or not int(match[1]):
        raise click.BadParameter(f"{value!r} is no size: 1500M, 2G")
    return int(match[1]) * MIB * (1024 if match[2] == "G" else 1)


def _jobs(_context: click.Context, _option: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdecimal() or not 1 <= int(value) <= 10_000:
        raise click.BadParameter(f"{value!r} is no number of jobs, nor auto")
    return int(value)


def options_of_a_fleet(*names: str) -> Callable[[Command], Command]:
    """Those of these names: where the state is, which images, how many at a time, within which limits."""

    def decorate(command: Command) -> Command:
        for option in reversed(_all_options()):
            command = option(command)
        parameters: list[click.Parameter] = command.__click_params__  # type: ignore[attr-defined]
        parameters[:] = [p for p in parameters if p.name not in set(OF_THE_FLEET) - set(names)]
        return command

    return decorate


def _all_options() -> tuple[Callable[[Command], Command], ...]:
    return (
        click.option("--state", "state_dir", required=True, type=PATH, metavar="DIR",
                     help="Where state and reports are kept; the same DIR again goes on where it was."),
        click.option("--from", "lists", multiple=True, metavar="FILE|-",
                     help="A list of images, one a line: URI [disk=... key=file:... donor=...]; repeatable."),
        click.option("--jobs", default="auto", show_default=True, callback=_jobs, metavar="N|auto",
                     help="How many images at a time; auto: as processors and memory admit."),
        click.option("--engine", type=click.Choice(["local", "dask"]), default="local", show_default=True,
                     help="Where the work is done: here, or on the workers of a Dask scheduler."),
        click.option("--scheduler", metavar="ADDRESS", help="Dask's scheduler: tcp://HOST:PORT."),
        click.option("--shard", metavar="I/N|auto",
                     help="Only part I of N of the list; auto: as Slurm, Kubernetes or the CI counts."),
        click.option("--shards", type=click.IntRange(1, 999_999), metavar="N",
                     help="How many parts there are, where --shard auto cannot know it."),
        click.option("--timeout", default="10m", show_default=True, callback=_duration, metavar="T",
                     help="After this time an image's processes are ended."),
        click.option("--memory", default="2G", show_default=True, callback=_size, metavar="SIZE",
                     help="What an image's processes may take together; else it is tried again alone."),
        click.option("--retries", default=1, show_default=True, type=click.IntRange(0, 100),
                     help="How often an image that could not be examined is tried again."),
        click.option("--again", "afresh", is_flag=True, help="Also what is done already."),
        click.option("--exit-zero", is_flag=True, help="Findings are no failure: 0 in the place of 1."),
    )  # fmt: skip


def words_given(context: click.Context, left_out: Container[str]) -> Iterator[str]:
    """The options of a scan or repair that were given, by variables too, as words for each image."""
    for parameter in context.command.params:
        name = parameter.name or ""
        given = context.get_parameter_source(name) in _SAID and parameter.expose_value
        if not isinstance(parameter, click.Option) or name in left_out or not given:
            continue
        option, value = max(parameter.opts, key=len), context.params[name]
        if parameter.is_flag:
            yield from (option,) if value else ()
            continue
        for each in value if parameter.multiple else (value,):
            yield f"{option}={each}"


def engine_of(state: State, jobs: int | None, *, host_only: bool) -> Engine:
    """The engine of this machine."""
    from guestrepair.fleet.children import Children
    from guestrepair.fleet.engines.local import LocalEngine

    at_once = jobs or usual_jobs(with_kvm=not host_only and _kvm_works())
    return LocalEngine(Children(state.reports, inherit=(state.children_lock,)), Admission(at_once))


def _kvm_works() -> bool:
    from guestrepair.appliance.acceleration import Acceleration, acceleration

    return acceleration().acceleration is Acceleration.KVM


def teller(console: Console) -> Callable[[Progress], None]:
    """What shows the progress of a run."""

    def tell(progress: Progress) -> None:
        left = "" if progress.left_seconds is None else f", about {_rounded(progress.left_seconds)} left"
        failed = f", {progress.failed} failed" if progress.failed else ""
        console.progress(
            f"{progress.done} of {progress.total} images done, {progress.running} running{failed}{left}"
        )

    return tell


def _rounded(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
