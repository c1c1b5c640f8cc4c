"""What the user's own policy (guestrepair.toml) requires of a guest, and what of the policy has had its day.

A requirement that is not met is a finding with what was required and what is there. It is judged by the
facts that the rules judge, too: units as a boot would load them, the guest's own account files, its package
database with its own order of versions, the boot loader's default entry. What cannot be looked at is
inconclusive, never met. What a policy ignores is weighed after the analysis (guestrepair/policy/): the two
rules on that are only declared here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from guestrepair.analyzers.base import Analyzer, Context, Rule
from guestrepair.analyzers.policy.paths import judge_path
from guestrepair.analyzers.policy.settings import judge_account, judge_package, judge_parameter, judge_unit
from guestrepair.analyzers.policy.verdict import Verdict
from guestrepair.model import Effect, Finding, Inconclusive, Severity
from guestrepair.model.requirements import (
    AccountRequirement,
    AnyRequirement,
    PackageRequirement,
    ParameterRequirement,
    PathRequirement,
    UnitRequirement,
)
from guestrepair.system.fact import Unreadable, attempt

_SOURCE = "guestrepair policy check"

REQUIRE = Rule(
    name="policy/require",
    summary="the guest is not as the policy requires",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.HYGIENE,
    what="A [[require]] of guestrepair.toml is not met: a path (exists, type, mode, owner, group, digest,"
    " contains, matches), a package and its version, a unit that boot starts or not, an account, a kernel"
    " parameter of the default boot entry. An error, unless the entry says another severity.",
    why="Whoever wrote the policy relies on it.",
    repair="None: the policy says what is to be, not how the guest came to be otherwise.",
    example="""
        [[require]]
        path = "/etc/motd"
        mode = "0644"
        contains = "ACME"

        [[require]]
        package = "openssh-server"
        version = ">= 1:9.2"
        service-enabled = "ssh"
        account-absent = ["vagrant", "packer"]
        kernel-parameter = "console=ttyS0"
        """,
    sources=(_SOURCE, "systemctl(1)", "deb-version(7)", "rpm-version(7)", "kernel-parameters.rst"),
)

IGNORE_EXPIRED = Rule(
    name="policy/ignore-expired",
    summary="an ignore of the policy has expired",
    severities=(Severity.WARNING,),
    effect=Effect.HYGIENE,
    what="The last day of an [[ignore]] of guestrepair.toml is over: it hides nothing any more.",
    why="Somebody meant to have the matter settled by then.",
    repair="None: settle it and take the entry out, or give it another date and say why.",
    example='[[ignore]]\nrule = "sshd/*"\nreason = "until the move"\nexpires = 2026-01-31',
    sources=(_SOURCE,),
)

IGNORE_UNUSED = Rule(
    name="policy/ignore-unused",
    summary="an ignore of the policy matches nothing",
    severities=(Severity.NOTE,),
    effect=Effect.HYGIENE,
    what="An [[ignore]] of guestrepair.toml matches no finding of any image of this run, though its rules"
    " were judged on all of them. A finding that stands for several subjects is matched when all are.",
    why="It may be for what is long settled, or have a slip in its subject; it would hide what comes later.",
    repair="None: take the entry out, or correct it.",
    example='[[ignore]]\nrule = "fstab/source-not-found"\nsubject = "/etc/fstba"\nreason = "lent"',
    sources=(_SOURCE,),
)


def check_requirements(context: Context) -> Iterator[Finding | Inconclusive]:
    """policy/require: each requirement by itself, so that what one of them cannot look at costs no other.

    What several say of one thing is one finding, the worst of them.
    """
    missed: dict[str, list[tuple[AnyRequirement, Verdict]]] = {}
    for requirement in context.options.requirements:
        found = attempt(partial(_judge, context, requirement))
        if isinstance(found, Unreadable):
            yield Inconclusive("policy", f"{requirement.place}: {found.error.message}")
            continue
        for reason in found.unknown:
            yield Inconclusive("policy", f"{requirement.place}: {found.about}: {reason}")
        if found.misses:
            missed.setdefault(found.subject, []).append((requirement, found))
    for same in missed.values():
        yield _finding(same)


def _judge(context: Context, requirement: AnyRequirement) -> Verdict:
    match requirement:
        case PathRequirement():
            return judge_path(context.system, requirement)
        case PackageRequirement():
            return judge_package(context, requirement)
        case UnitRequirement():
            return judge_unit(context.system, requirement)
        case AccountRequirement():
            return judge_account(context.system, requirement)
        case ParameterRequirement():
            return judge_parameter(context.system, requirement)


def _finding(same: Sequence[tuple[AnyRequirement, Verdict]]) -> Finding:
    misses = tuple(dict.fromkeys(miss for _, found in same for miss in found.misses))
    words = "; ".join(f"{each.observed}, required is {each.expected}" for each in misses)
    said = dict.fromkeys(text for requirement, _ in same for text in (requirement.reason, requirement.place))
    first = same[0][1]
    return REQUIRE.finding(
        first.subject,
        f"{first.about}: {words} ({'; '.join(filter(None, said))})",
        severity=min((requirement.severity for requirement, _ in same), key=lambda s: s.rank),
        evidence=misses,
    )


ANALYZER = Analyzer(
    name="policy",
    summary="what the user's own policy requires",
    rules=(REQUIRE, IGNORE_EXPIRED, IGNORE_UNUSED),
    checks=(check_requirements,),
    late=True,  # the boot menu may be asked, and what of it lies on the EFI system partition
    runs=lambda options: bool(options.requirements),
)
