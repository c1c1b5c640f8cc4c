"""What a run is weighed by: where a policy is looked for, and what is said where nobody can see one."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.errors import UsageError
from guestrepair.model import Finding, Inconclusive, Severity
from guestrepair.operations.options import ScanOptions, StandardOptions
from guestrepair.operations.standards import Wanted, find_policy, keep_baseline, read_standards
from guestrepair.report.data import ImageReport, Report

WANTED = Wanted(scan=ScanOptions(), fail_on="error")


def test_what_keeps_a_policy_from_being_seen_is_one_line(tmp_path: Path) -> None:
    """A directory above may be closed to this user; it is no answer that there is no policy."""
    (tmp_path / "guestrepair.toml").symlink_to("guestrepair.toml")
    with pytest.raises(UsageError, match="whether a policy is there cannot be seen: Too many levels") as said:
        find_policy(tmp_path)
    assert "--policy FILE" in said.value.hint
    with pytest.raises(UsageError, match="File name too long"):
        read_standards(StandardOptions(search_from=tmp_path / ("a" * 300)), WANTED)


def test_what_is_no_file_is_no_policy(tmp_path: Path) -> None:
    (tmp_path / "below/guestrepair.toml").mkdir(parents=True)
    (tmp_path / "guestrepair.toml").write_text("")
    assert find_policy(tmp_path / "below") == tmp_path / "guestrepair.toml"
    assert find_policy(tmp_path / "guestrepair.toml") == tmp_path / "guestrepair.toml"


def test_a_baseline_is_kept_and_what_is_not_in_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    options = StandardOptions(write_baseline=path)
    standards, _ = read_standards(options, WANTED)
    finding = Finding("fstab/bad-option", Severity.ERROR, "/etc/fstab:1", "text")
    report = Report([ImageReport(path="x", findings=[finding])])
    assert keep_baseline(StandardOptions(), standards, report) == ""
    assert not path.exists()
    assert keep_baseline(options, standards, report) == ""
    again, _ = read_standards(StandardOptions(baseline=path), WANTED)
    assert again.baseline is not None
    report.images[0].inconclusive.append(Inconclusive("fstab", "unreadable"))
    assert "not everything could be examined" in keep_baseline(options, standards, report)
