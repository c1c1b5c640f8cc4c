"""Colours of the table report: severities, states and results, put to the finished text.

The text is escaped by then, so that every escape sequence in it is one of these; without them it is the
same text. Source: ECMA-48, 8.3.117 (SGR).
"""

from __future__ import annotations

import re

_BOLD_RED, _YELLOW, _CYAN, _GREEN = "1;31", "33", "36", "32"
_SEVERITIES = {"ERROR": _BOLD_RED, "WARNING": _YELLOW, "NOTE": _CYAN}
_FINDING = re.compile(
    r"(?P<severity>ERROR|WARNING|NOTE) (?P<what>.*?)(?P<state> \[(?:repaired|failed|skipped)\])?\Z"
)
_RESULT = re.compile(r"(?P<title>Result: )(?P<words>.*)\Z")
_BAD = re.compile(r"[0-9]{1,9} errors?\b|not examined")
_DOUBTFUL = re.compile(r"[0-9]{1,9} (?:warnings?|notes?)\b")
_NOT_EXAMINED = "Could not be examined (this is not the same as healthy):"


def painted(text: str) -> str:
    """The table report with colours."""
    return "".join(_line(line) for line in text.splitlines(keepends=True))


def _line(line: str) -> str:
    words = line.rstrip("\n")
    end = line[len(words) :]
    if words == _NOT_EXAMINED:
        return _in(_YELLOW, words) + end
    if result := _RESULT.match(words):
        return result["title"] + _in(_of_result(result["words"]), result["words"]) + end
    if finding := _FINDING.match(words):
        return (
            _in(_SEVERITIES[finding["severity"]], finding["severity"])
            + " "
            + finding["what"]
            + _state(finding["state"])
            + end
        )
    return line


def _state(state: str | None) -> str:
    if not state:
        return ""
    return _in(_GREEN if "repaired" in state else _BOLD_RED, state)


def _of_result(words: str) -> str:
    if _BAD.search(words):
        return _BOLD_RED
    return _YELLOW if _DOUBTFUL.search(words) else _GREEN


def _in(colour: str, words: str) -> str:
    return f"\x1b[{colour}m{words}\x1b[0m"
