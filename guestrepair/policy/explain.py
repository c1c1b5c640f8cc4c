"""A policy in plain English, in the order of its lines, and what in it deserves a second look."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from functools import partial

from guestrepair.analyzers.platform.asking import listed
from guestrepair.model import names_rule
from guestrepair.model.requirements import (
    AccountRequirement,
    AnyRequirement,
    PackageRequirement,
    ParameterRequirement,
    PathRequirement,
    UnitRequirement,
)
from guestrepair.policy.model import Ignore, Override, Policy

SOON = dt.timedelta(days=30)


def explain(policy: Policy, rules: Sequence[str], today: dt.date) -> Iterator[str]:
    """A line for each thing that it does, with the number of the line where it stands; then the warnings."""
    yield f"{policy.path}:"
    yield from (f"  {words}" for words in _of_the_run(policy))
    said = [
        *((o.place, _override(o, rules)) for o in policy.overrides),
        *((i.place, _ignore(i, rules)) for i in policy.ignores),
        *((r.place, _requirement(r)) for r in policy.requirements),
    ]
    for place, words in sorted(said, key=lambda each: _line(each[0])):
        yield f"  line {_line(place)}: {words}"
    warnings = list(_warnings(policy, today))
    if warnings:
        yield "Worth a second look:"
        yield from (f"  line {_line(place)}: {words}" for place, words in warnings)
    if not said and not any(_of_the_run(policy)):
        yield "  nothing: it is empty"


def _line(place: str) -> int:
    return int(place.rpartition(":")[2])


def _of_the_run(policy: Policy) -> Iterator[str]:
    """What holds where the command line says nothing."""
    if policy.platforms:
        yield f"the image is to fit {listed(policy.platforms, 'and')}, unless --platform says otherwise"
    if policy.profile:
        article = "a golden image that others are made from" if policy.profile == "golden" else "a machine"
        yield f"the image is {article}, unless --profile says otherwise"
    if policy.fail_on == "never":
        yield "no finding makes the exit status 1, unless --fail-on says otherwise"
    elif policy.fail_on:
        yield f"{policy.fail_on}s and worse make the exit status 1, unless --fail-on says otherwise"


def _override(override: Override, rules: Sequence[str]) -> str:
    return f"{_rules(override.rule, rules)} counts as {override.severity}{_where(override.platform)}"


def _ignore(ignore: Ignore, rules: Sequence[str]) -> str:
    about = f" about {ignore.subject}" if ignore.subject else ""
    until = f" until the end of {ignore.expires.isoformat()}" if ignore.expires else ""
    return f"{_rules(ignore.rule, rules)}{about} is known{until}{_where(ignore.platform)}: {ignore.reason}"


def _rules(pattern: str, rules: Sequence[str]) -> str:
    found = [rule for rule in rules if names_rule(pattern, rule)]
    return pattern if found == [pattern] else f"{pattern} ({len(found)} rule{'s' if len(found) != 1 else ''})"


def _where(platform: str) -> str:
    return f" on {platform}" if platform else ""


def _requirement(requirement: AnyRequirement) -> str:
    reason = f" ({requirement.reason})" if requirement.reason else ""
    return f"{_required(requirement)}; {requirement.severity} if not{reason}"


def _required(requirement: AnyRequirement) -> str:
    match requirement:
        case PathRequirement():
            return _path(requirement)
        case PackageRequirement():
            versions = _all([f"{c} {version}" for c, version in requirement.versions])
            state = "must be installed" if requirement.installed else "must not be installed"
            return f"package {requirement.name} {state}" + (f", in a version {versions}" if versions else "")
        case UnitRequirement():
            state = "must be started at boot" if requirement.enabled else "must not be started by anything"
            return f"{requirement.name} {state}"
        case AccountRequirement():
            return f"account {requirement.name} must {'' if requirement.present else 'not '}be there"
        case ParameterRequirement():
            text = requirement.name + ("" if requirement.value is None else f"={requirement.value}")
            state = "must" if requirement.present else "must not"
            return f"the default boot entry {state} have the kernel parameter {text}"


def _path(wanted: PathRequirement) -> str:
    if not wanted.exists:
        return f"{wanted.path} must not exist"
    parts = [f"be a {wanted.kind}" if wanted.kind else "exist"]
    parts += [f"have mode {wanted.mode:04o}"] if wanted.mode is not None else []
    parts += [f"belong to {wanted.owner}"] if wanted.owner else []
    parts += [f"belong to group {wanted.group}"] if wanted.group else []
    parts += [f"have the SHA-256 {wanted.sha256[:12]}…"] if wanted.sha256 else []
    parts += [f"hold {text!r}" for text in wanted.contains]
    parts += [f"have a line like {pattern!r}" for pattern in wanted.matches]
    return f"{wanted.path} must {listed(parts, 'and')}"


_all = partial(listed, last="and")


def _warnings(policy: Policy, today: dt.date) -> Iterator[tuple[str, str]]:
    for ignore in policy.ignores:
        if ignore.has_expired(today):
            yield (
                ignore.place,
                f"the ignore of {ignore.name} has expired: take it out, or give it another date",
            )
        elif ignore.expires is not None and ignore.expires - today <= SOON:
            yield ignore.place, f"the ignore of {ignore.name} expires on {ignore.expires.isoformat()}"
        elif ignore.expires is None:
            yield ignore.place, f"the ignore of {ignore.name} never expires"
        if "*" in ignore.rule and not ignore.subject:
            yield ignore.place, f"the ignore of {ignore.name} is about everything: name a subject"
