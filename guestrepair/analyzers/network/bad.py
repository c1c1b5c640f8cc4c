"""The rule on files that their manager refuses."""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Context, Rule
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    Repair,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    Subject,
)
from guestrepair.system.network.cloud import RENDERED
from guestrepair.system.network.model import Manager, Problem, Reach
from guestrepair.system.network.network import Network

BAD_CONFIGURATION = Rule(
    name="network/bad-configuration",
    summary="a network configuration that its manager refuses",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="YAML that netplan cannot read or keys and values that it refuses, a line that ifup refuses, a"
    " profile of NetworkManager that others can read, a .network file that the user systemd-network cannot"
    " read, an address that is none, a gateway outside of the card's network. A warning where the guest has"
    " an address without it, a note where that manager does not run.",
    why="netplan and ifup then configure nothing at all; the others leave the file or the route out.",
    repair="Mode 0600 and owner root for a profile of NetworkManager, 0644 for a .network file; the rest is"
    " for a person to correct.",
    example="addresses: [192.0.2.10] in netplan, without the prefix length",
    sources=("netplan(5)", "interfaces(5)", "nm-settings-keyfile(5)", "systemd.network(5)", "ip-route(8)"),
)
RULES = (BAD_CONFIGURATION,)

_MAX_NAMED = 20
_WHOLE = frozenset({Manager.NETPLAN, Manager.IFUPDOWN})
"""Managers for which one bad line is the end of all configuration."""


def check(context: Context) -> Iterator[Finding]:
    """A finding for each problem; those past some are one together with the last."""
    network = context.system.network
    problems = list(network.problems)
    for problem in problems[:_MAX_NAMED]:
        yield _finding(context, network, problem, 0)
    if len(problems) > _MAX_NAMED:
        last = problems[_MAX_NAMED]
        yield _finding(context, network, last, len(problems) - _MAX_NAMED - 1)


def _finding(context: Context, network: Network, problem: Problem, more: int) -> Finding:
    place = problem.place
    severity = _severity(context, network, problem)
    words = f"{place}: {problem.what}: {problem.consequence}"
    words += f" ({more} more like it)" if more > 0 else ""
    return BAD_CONFIGURATION.finding(
        Subject.of_line(place.path, place.line) if place.line else Subject.of_path(place.path),
        words,
        severity=severity,
        evidence=(Evidence(str(place), problem.what, f"what {problem.manager} accepts"),),
        repair=_repair(context, network, problem, severity),
    )


def _severity(context: Context, network: Network, problem: Problem) -> Severity:
    is_idle = not problem.active and not _is_all_there_is(context, network)
    if is_idle or (problem.place.path in RENDERED and network.writes_anew):
        return Severity.NOTE
    if network.unknown or problem.works:
        return Severity.WARNING
    if problem.manager in _WHOLE and problem.stops:
        return Severity.ERROR
    others = [r for r in network.in_force if not r.configuration.stands_in(problem.place.path)]
    has_other = any(r.reach in {Reach.ANY, Reach.NAME, Reach.MAC} for r in others)
    own = [r.configuration for r in network.in_force if r.configuration.stands_in(problem.place.path)]
    by_dhcp = any("dhcp4" in c.dhcp for c in own)
    return Severity.WARNING if has_other or by_dhcp or network.makes_default else Severity.ERROR


def _is_all_there_is(context: Context, network: Network) -> bool:
    """True where nothing else gives the guest an address: then this was meant to."""
    otherwise = network.in_force or network.makes_default or network.unknown or network.writes_anew
    return not otherwise and context.system.boot_loader.has_loader_or_kernel


def _repair(context: Context, network: Network, problem: Problem, severity: Severity) -> Repair | None:
    if severity is Severity.NOTE:
        return None
    if not problem.mode:
        return Repair("correct that line", Safety.MANUAL)
    path = context.system.files.resolve(problem.place.path)
    found = None if path is None else context.system.files.lstat(path)
    if path is None or found is None:
        return None
    mode = 0o644 if problem.manager is Manager.NETWORKD else 0o600
    changes: list[Change] = []
    if found.uid:
        changes.append(SetOwner(path=path, before=(found.uid, found.gid), after=(0, 0)))
    if found.permissions != mode:
        changes.append(SetMode(path=path, before=found.permissions, after=mode))
    # Where the guest has no address without it, nothing can be lost; else somebody should look at it.
    safety = Safety.SAFE if severity is Severity.ERROR and not network.in_force else Safety.REVIEW
    return Repair(f"mode {mode:04o} and owner root for {path}", safety, tuple(changes))
