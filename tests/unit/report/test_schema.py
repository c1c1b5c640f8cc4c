"""Our own JSON is as docs/schema says; and the schemas say something."""

from __future__ import annotations

import copy
import json as json_module
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from guestrepair.events.model import Certainty, Event, Kind
from guestrepair.guest.devices import DeviceKind
from guestrepair.model import Confidence, Effect, Safety, Severity, Status
from guestrepair.report import json
from guestrepair.report.data import ImageReport, Inspection, Report
from guestrepair.report.events import jsonl
from guestrepair.report.formats import renderer
from tests.support.schemas import check_events, check_report, validator
from tests.unit.report.samples import HOSTILE, NOON, full_image, hostile_image, many
from tests.unit.report.test_escaping import whole_report


@pytest.mark.parametrize(
    "report",
    [
        Report([full_image()]), Report([]), Report([ImageReport(path="")]), many(30),
        Report([whole_report("text", "name")]), *(Report([hostile_image(text)]) for text in HOSTILE),
    ],
)  # fmt: skip
def test_every_report_is_as_the_schema_says(report: Report) -> None:
    check_report(json.render(report))


def test_an_inspection_is_a_report() -> None:
    check_report(renderer("json", Inspection)(Inspection(full_image())))


@pytest.mark.parametrize("text", HOSTILE)
def test_every_event_is_as_the_schema_says(text: str) -> None:
    events = [
        Event(time_ns=time, kind=kind, description="Recorded Time", message=text, source=text,
              certainty=certainty, actor=text, path=text, detail=((f"x{text}", text),))
        for time in (-(1 << 80), NOON, 1 << 80) for kind in Kind for certainty in Certainty
    ]  # fmt: skip
    for event in events:
        validator("events-1").validate(json_module.loads(next(jsonl([event]))))
    check_events("".join(jsonl(events[len(Kind) * len(Certainty) :][: len(Kind)])))


def first(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["images"][0]["findings"][0]
    return found


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(schema="guestrepair.report/2"),
        lambda d: d.pop("summary"),
        lambda d: d["summary"].update(error=-1),
        lambda d: first(d).update(severity="fatal"),
        lambda d: first(d).pop("folded"),
        lambda d: first(d)["repair"].update(safety="sure"),
        lambda d: first(d)["cause"].update(last_good_boot="yesterday"),
        lambda d: d["images"][0]["platforms"][0].update(fits="yes"),
        lambda d: d["images"][0].update(guest="debian"),
    ],
)
def test_a_report_that_breaks_the_contract_is_told(spoil: Callable[[dict[str, Any]], object]) -> None:
    document = json_module.loads(json.render(Report([full_image()])))
    added = copy.deepcopy(document)
    first(added)["later"] = added["later"] = 1  # fields may be added
    check_report(json_module.dumps(added))
    spoil(document)
    with pytest.raises(jsonschema.ValidationError):
        check_report(json_module.dumps(document))


def test_the_schema_knows_every_word_that_the_code_has() -> None:
    known = validator("report-1").schema["$defs"]
    finding = known["finding"]["properties"]
    assert finding["severity"]["enum"] == [each.value for each in Severity]
    assert finding["effect"]["enum"] == [each.value for each in Effect]
    assert finding["status"]["enum"] == [each.value for each in Status]
    assert known["repair"]["properties"]["safety"]["enum"] == [each.value for each in Safety]
    assert known["suspect"]["properties"]["confidence"]["enum"] == [each.value for each in Confidence]
    assert known["device"]["properties"]["kind"]["enum"] == [each.value for each in DeviceKind]
    events = validator("events-1").schema["properties"]
    assert events["kind"]["enum"] == [each.value for each in Kind]
    assert events["certainty"]["enum"] == [each.value for each in Certainty]
