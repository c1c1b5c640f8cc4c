"""A rule's documentation as text: for ``explain``, and as Markdown for the pages under docs/."""

from __future__ import annotations

import textwrap

from guestrepair.analyzers.base import Analyzer, Rule

_WIDTH = 96


def page(rule: Rule) -> str:
    """The page of one rule, as ``explain`` prints it."""
    severities = ", ".join(s.value for s in rule.severities)
    safeties = ", ".join(s.value for s in rule.safeties) or "none"
    parts = [
        rule.name,
        f"  {rule.summary}",
        f"  severity: {severities}; effect: {rule.effect}; repair: {safeties}",
    ]
    for title, text in (("What", rule.what), ("Why it matters", rule.why), ("Repair", rule.repair)):
        parts += ["", f"{title}:", _filled(text)]
    if rule.example:
        parts += ["", "Example:", textwrap.indent(textwrap.dedent(rule.example).strip("\n"), "  ")]
    if rule.sources:
        parts += ["", f"Sources: {'; '.join(rule.sources)}"]
    return "\n".join(parts) + "\n"


def _filled(text: str) -> str:
    paragraphs = " ".join(text.split(" ")).split("\n\n")
    return "\n\n".join(
        textwrap.fill(" ".join(p.split()), _WIDTH, initial_indent="  ", subsequent_indent="  ")
        for p in paragraphs
    )


def markdown(analyzer: Analyzer) -> str:
    """All rules of an analyzer as one Markdown page."""
    parts = [f"# {analyzer.name}", "", analyzer.summary, ""]
    for rule in analyzer.rules:
        severities = ", ".join(s.value for s in rule.severities)
        safeties = ", ".join(s.value for s in rule.safeties) or "none"
        parts += [
            f"## {rule.name}",
            "",
            f"{rule.summary}  ",
            f"Severity: {severities}. Effect: {rule.effect}. Repair: {safeties}.",
            "",
        ]
        parts += [" ".join(rule.what.split()), "", f"**Why it matters.** {' '.join(rule.why.split())}", ""]
        parts += [f"**Repair.** {' '.join(rule.repair.split())}", ""]
        if rule.example:
            parts += ["```", textwrap.dedent(rule.example).strip("\n"), "```", ""]
        if rule.sources:
            parts += [f"Sources: {'; '.join(rule.sources)}", ""]
    return "\n".join(parts)
