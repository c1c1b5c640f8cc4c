"""The contract of the rules: unique names, whole documentation, a test for each, pages up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from guestrepair.analyzers.base import Analyzer, Rule, all_analyzers, all_rules
from guestrepair.report.rules import markdown, page

ROOT = Path(__file__).parents[2]
RULES = sorted(all_rules().values(), key=lambda r: r.name)
TESTS = "\n".join(p.read_text() for p in sorted((ROOT / "tests").rglob("test_*.py")))


def name_of(rule: Rule | Analyzer) -> str:
    return rule.name


def test_names_are_unique() -> None:
    names = [rule.name for analyzer in all_analyzers() for rule in analyzer.rules]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_is_documented(rule: Rule) -> None:
    assert re.fullmatch(r"[a-z]+/[a-z0-9-]+", rule.name)
    for text in (rule.summary, rule.what, rule.why):
        assert len(text.strip()) > 10
    assert rule.repair.strip()
    assert rule.severities
    assert rule.sources
    assert rule.name in page(rule)


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_a_rule_has_a_test(rule: Rule) -> None:
    short = rule.name.partition("/")[2]
    assert rule.name in TESTS or f'"{short}"' in TESTS or short.replace("-", "_") in TESTS


@pytest.mark.parametrize("analyzer", all_analyzers(), ids=name_of)
def test_the_pages_are_up_to_date(analyzer: Analyzer) -> None:
    written = ROOT / "docs" / "rules" / f"{analyzer.name}.md"
    assert written.exists(), "run `make docs`"
    assert written.read_text() == markdown(analyzer), "run `make docs`"
