"""Baselines: what is written is read back, what is broken is one line, and nothing else is written over."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import FormatError, UsageError
from guestrepair.model import Finding, Severity, Suppressed
from guestrepair.policy.baseline import (
    MAX_SIZE_BYTES,
    SCHEMA,
    Baseline,
    baseline_of,
    check_target,
    parse_baseline,
    read_baseline,
    render_baseline,
    write_baseline,
)

FIRST, SECOND = dt.date(2026, 1, 2), dt.date(2026, 3, 4)
ONE = Finding("fstab/order", Severity.WARNING, "/etc/fstab:3", "odd", folded=("/a", "/b\udcff"))
TWO = Finding("sshd/hostkey-missing", Severity.ERROR, "/etc/ssh/\u202ekey", "no key")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    baseline = baseline_of([[ONE, TWO], [TWO]], FIRST, None)
    write_baseline(path, baseline)
    assert read_baseline(path) == baseline
    assert len(baseline.entries) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["known.json"]
    assert path.stat().st_mode & 0o444 == 0o444
    write_baseline(path, baseline_of([[TWO]], SECOND, read_baseline(path)))
    (entry,) = read_baseline(path).entries.values()
    assert (entry.rule, entry.first_seen) == (TWO.rule, FIRST)


def test_the_worst_of_several_images_counts() -> None:
    mild = replace(ONE, severity=Severity.NOTE, folded=("/c",))
    (entry,) = baseline_of([[mild], [ONE]], FIRST, None).entries.values()
    assert (entry.severity, len(entry.folded)) == (Severity.WARNING, 3)


def test_what_is_ignored_or_about_the_policy_is_not_in_it() -> None:
    ignored = replace(ONE, suppressed=Suppressed("ignore", "x"))
    known = replace(TWO, suppressed=Suppressed("baseline", "x"))
    own = Finding("policy/ignore-unused", Severity.NOTE, "fstab/*", "x")
    found = baseline_of([[ignored, known, own]], FIRST, None).entries.values()
    assert [each.rule for each in found] == [TWO.rule]


ENTRY = {
    "fingerprint": "a", "rule": "b/c", "subject": "/d", "severity": "note", "first_seen": "2026-01-02",
    "folded": [],
}  # fmt: skip


def document(**changes: object) -> str:
    return json.dumps({"schema": SCHEMA, "findings": [{**ENTRY, **changes}]})


HINT = "; write it again with --write-baseline"
BROKEN = [
    ("", "1: no JSON: Expecting value"),
    ("{\n\n", "3: no JSON: Expecting property name enclosed in double quotes"),
    ("[]", "1: no baseline: no object"),
    ("{}", f"1: no baseline: it names no schema, not {SCHEMA!r}"),
    ('{"schema": "guestrepair.baseline/2"}',
     f"1: no baseline: its schema is 'guestrepair.baseline/2', not {SCHEMA!r}"),
    ('{"schema": "guestrepair.report/1", "images": []}',
     f"1: no baseline: its schema is 'guestrepair.report/1', not {SCHEMA!r}"),
    (json.dumps({"schema": SCHEMA}), "1: no baseline: it has no list of findings"),
    (document(extra=1),
     " findings[0]: its keys are not fingerprint, first_seen, folded, rule, severity, subject"),
    (document(rule=3), " findings[0]: a value has another type than it must have"),
    (document(folded="x"), " findings[0]: a value has another type than it must have"),
    (document(severity="bad"), " findings[0]: its severity or date is none"),
    (document(first_seen="soon"), " findings[0]: its severity or date is none"),
    ("[" * 200_000, "1: no JSON of a baseline"),
    ("\xff", "1: no JSON: Expecting value"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "line"), BROKEN, ids=range(len(BROKEN)))
def test_a_broken_one_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    path = tmp_path / "known.json"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_baseline(path)
    assert f"{caught.value.message}; {caught.value.hint}" == f"{path}:{line}{HINT}"


def test_one_that_is_too_large_is_not_read() -> None:
    with pytest.raises(FormatError, match="larger than"):
        parse_baseline(b" " * (MAX_SIZE_BYTES + 1))


@given(st.binary(max_size=200) | st.sampled_from(BROKEN).map(lambda each: each[0].encode()))
def test_any_bytes_give_a_baseline_or_an_error(data: bytes) -> None:
    with contextlib.suppress(FormatError):
        assert parse_baseline(render_baseline(parse_baseline(data)).encode()) == parse_baseline(data)


def test_nothing_else_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    check_target(path)
    path.touch()
    check_target(path)
    write_baseline(path, Baseline())
    check_target(path)
    path.write_text("my notes")
    with pytest.raises(UsageError, match="something else than a baseline is there"):
        check_target(path)
    with pytest.raises(UsageError, match="no regular file"):
        check_target(tmp_path)
    with pytest.raises(UsageError, match="no regular file"):
        check_target(Path("/dev/null"))


def test_where_it_cannot_be_written_the_old_one_stays(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        write_baseline(tmp_path / "gone" / "known.json", Baseline())
    assert list(tmp_path.iterdir()) == []


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("known.json")
    write_baseline(tmp_path / "link", Baseline())
    assert (tmp_path / "link").is_symlink()
    assert read_baseline(tmp_path / "known.json") == Baseline()
