"""The one sentence at the top of a report: does this guest boot, and does it let anybody in?"""

from __future__ import annotations

from collections.abc import Sequence

from guestrepair.model import Effect, Finding, Status
from guestrepair.report.data import ImageReport

_STOPS = (
    (Effect.STOPS_BOOT, "Does not boot"),
    (Effect.STOPS_LOGIN, "Nobody can log in over SSH"),
)


def headline(image: ImageReport) -> str:
    """What stops this guest, worked out from the findings' effects; empty where no system was looked at.

    It says no more than was looked at: a part that was left out, or that could not be examined, is in it.
    What is known (by a policy, by a baseline) stops the guest all the same: it is said, as known.
    """
    stopped = [words for effect, claim in _STOPS if (words := _claim(claim, _open(image, effect)))]
    if stopped:
        return "; ".join([stopped[0], *(_lower(words) for words in stopped[1:])]) + "."
    if not image.analyzed:
        return ""
    if image.without_sshd:
        return f"{_nothing(image)} that stops boot; no OpenSSH server is installed{_limits(image)}."
    return f"{_nothing(image)} that stops boot or SSH login{_limits(image)}."


def _open(image: ImageReport, effect: Effect) -> list[Finding]:
    found = [f for f in image.findings if f.effect is effect and f.status is not Status.REPAIRED]
    return sorted(found, key=lambda finding: finding.suppressed is not None)


def _claim(claim: str, causes: Sequence[Finding]) -> str:
    if not causes:
        return ""
    more = f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""
    # What sshd itself stumbles over says more of it than a program that a console needs, too.
    first = next((f for f in causes if _is_of_sshd(f) and f.suppressed is None), causes[0])
    if first.suppressed is not None:
        first = next(filter(_is_of_sshd, causes), first)
        return f"{claim}, as is known: {first.message}{more}"
    return f"{claim}: {first.message}{more}"


def _is_of_sshd(finding: Finding) -> bool:
    return finding.effect is Effect.STOPS_LOGIN and finding.analyzer == "sshd"


def _lower(words: str) -> str:
    return words[0].lower() + words[1:]


def _nothing(image: ImageReport) -> str:
    repaired = any(f.status is Status.REPAIRED for f in image.findings)
    return "Nothing left" if repaired else "Nothing found"


def _limits(image: ImageReport) -> str:
    """What keeps that sentence from being a promise."""
    if image.inconclusive or image.errors:
        return ", but not everything could be examined"
    if image.partly:
        return " in the part that was looked at (--only, --skip)"
    return ""
