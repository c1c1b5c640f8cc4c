"""Several sshds: what stops one of them is a warning while another serves the world well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from guestrepair.model import Effect, Finding, Severity
from guestrepair.system.firewall.ports import serves_the_world
from guestrepair.system.sshd.sshd import Sshd

Key: TypeAlias = tuple[str, str]
"""A finding's rule and subject."""


def key_of(finding: Finding) -> Key:
    """What makes two findings the same one."""
    return finding.rule, finding.subject


def keeps_out(finding: Finding) -> bool:
    """True for one by which nobody gets in any more."""
    return finding.severity is Severity.ERROR and finding.effect in (Effect.STOPS_LOGIN, Effect.STOPS_BOOT)


def softened(
    sshds: Sequence[Sshd], findings: Sequence[Finding], stops: Callable[[Sshd], frozenset[Key] | None]
) -> Sequence[Finding]:
    """The findings, with those that leave another sshd unharmed as warnings.

    ``stops`` tells what keeps everybody out of one sshd, and None where that is not certain.
    """
    if len(sshds) < 2 or not any(map(keeps_out, findings)):
        return findings
    sound = next((each for each in sshds if serves_the_world(each) and stops(each) == frozenset()), None)
    if sound is None:
        return findings
    words = f"; {sound.title} ({sound.name}) serves all the same"
    return tuple(
        replace(each, severity=Severity.WARNING, effect=Effect.DEGRADES, message=each.message + words)
        if keeps_out(each)
        else each
        for each in findings
    )
