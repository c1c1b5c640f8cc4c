"""Cases from public reports, judged by what they expect; where those are at hand, beside the project."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import fixtures
from tests.support.field import injected
from tests.support.program import Outcome, guestrepair

pytestmark = pytest.mark.image

FIELD = Path(__file__).parents[3] / "shared" / "field"
BASES = {"deb12-ext4-gpt": "debian-server", "rpm-rocky9": "rocky9-like", "rpm-centos7": "centos7-like"}
CASES = sorted(p.parent for p in FIELD.glob("*/EXPECT.json")) if FIELD.is_dir() else []

if not CASES:
    pytest.skip(f"{FIELD}: no cases from public reports are here", allow_module_level=True)


def problems(outcome: Outcome) -> list[dict[str, Any]]:
    return [f for f in outcome.report["findings"] if f["severity"] != "note"]


def names(finding: dict[str, Any]) -> list[str]:
    """What a case's subject may match: the finding's own, or the source of one of its evidence."""
    return [finding["subject"], *(e["source"] for e in finding["evidence"])]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_is_judged_as_it_expects(case: Path, tmp_path: Path) -> None:
    expect = json.loads((case / "EXPECT.json").read_text())
    image = injected(
        fixtures.build(BASES[expect["base"]]), case, tmp_path, device=expect.get("device", False)
    )
    outcome = guestrepair("scan", image, *expect.get("args", ()))
    found = problems(outcome)
    assert not outcome.report["inconclusive"], outcome.report["inconclusive"]
    if expect.get("trap"):
        assert not found
        return
    severity = expect.get("severity", "error")
    assert any(
        re.search(severity, f["severity"]) and any(re.search(expect["subject"], name) for name in names(f))
        for f in found
    ), [(f["rule"], f["subject"]) for f in outcome.report["findings"]]
    if "not" in expect:
        assert not [f for f in found if re.search(expect["not"], f"{f['rule']} {f['subject']}")]
