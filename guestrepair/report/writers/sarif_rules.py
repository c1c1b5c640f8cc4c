"""The rules of a SARIF run, from their declarations."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from guestrepair.analyzers.base import Rule, all_rules

Json = dict[str, Any]


def descriptors(names: Sequence[str]) -> tuple[list[Json], dict[str, int]]:
    """A descriptor for each rule, and where it stands in that list."""
    known = all_rules()
    made = [_descriptor(known[name]) if name in known else {"id": name} for name in names]
    return made, {name: index for index, name in enumerate(names)}


def _descriptor(rule: Rule) -> Json:
    what = " ".join(rule.what.split())
    why = " ".join(rule.why.split())
    repair = " ".join(rule.repair.split())
    return {
        "id": rule.name,
        "name": "".join(part.capitalize() for part in rule.name.replace("/", "-").split("-")),
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": what},
        "help": {
            "text": f"{what} Why it matters: {why} Repair: {repair}",
            "markdown": _markdown(rule, what, why, repair),
        },
        "defaultConfiguration": {"level": rule.severities[0].value},
        "properties": {"tags": [rule.name.partition("/")[0], rule.effect.value]},
    }


def _markdown(rule: Rule, what: str, why: str, repair: str) -> str:
    safeties = ", ".join(safety.value for safety in rule.safeties) or "none"
    parts = [what, f"**Why it matters.** {why}", f"**Repair ({safeties}).** {repair}"]
    if rule.example:
        parts.append("```\n" + textwrap.dedent(rule.example).strip("\n") + "\n```")
    if rule.sources:
        parts.append("Sources: " + "; ".join(rule.sources))
    return "\n\n".join(parts) + "\n"
