"""Findings that are known (by a policy or a baseline), as lines for people: one each, with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guestrepair.model import Finding

TITLE = "Known, and left out of the result:"
_MAX_SHOWN = 100


def suppressed_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """A line for each finding that is known, not yet escaped; the last says how many more there are."""
    known = [finding for finding in findings if finding.suppressed is not None]
    for finding in known[:_MAX_SHOWN]:
        yield f"- {finding.severity} {finding.rule} {finding.subject}: {_why(finding)}"
    if len(known) > _MAX_SHOWN:
        yield f"- and {len(known) - _MAX_SHOWN} more, which the JSON report has"


def _why(finding: Finding) -> str:
    found = finding.suppressed
    if found is None:
        return ""
    return f"{found.reason} (until {found.expires})" if found.expires else found.reason
