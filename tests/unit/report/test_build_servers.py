"""What build servers read: JUnit's XML, GitLab's code quality, GitHub's annotations and summaries."""

from __future__ import annotations

import html.parser
import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from junitparser import Error, Failure, JUnitXml, Skipped

from guestrepair.model import Severity
from guestrepair.report.data import ImageReport, Report
from guestrepair.report.formats import names_for, renderer
from guestrepair.report.writers import github, gitlab, junit, markdown
from tests.unit.report.samples import HOSTILE, finding, full_image, hostile_image, many

FULL = Report([full_image()])


def test_scan_offers_all_of_them() -> None:
    assert {"sarif", "junit", "gitlab", "github", "markdown", "html"} < set(names_for(Report))


# --- JUnit ------------------------------------------------------------------------


def cases(report: Report, tmp_path: Path) -> dict[str, list[object]]:
    file = tmp_path / "x.xml"
    file.write_text(junit.render(report))
    return {
        f"{case.classname}|{case.name}": [type(each) for each in case.result]
        for suite in JUnitXml.fromfile(str(file))
        for case in suite
    }


def test_a_case_for_each_rule_that_ran(tmp_path: Path) -> None:
    assert cases(FULL, tmp_path) == {
        "guestrepair.boot|could not be examined": [Error],
        "guestrepair.packages|could not be examined": [Error],
        "guestrepair.filesystems|filesystems/corrupt": [Failure],
        "guestrepair.filesystems|filesystems/dirty": [],
        "guestrepair.fstab|fstab/no-target": [Skipped],
        "guestrepair.fstab|fstab/option-unknown": [Skipped],
        "guestrepair.fstab|fstab/source-not-found": [Failure],
        "guestrepair.packages|packages/file-missing": [Skipped],  # not looked at is not healthy
        "guestrepair.sshd|sshd/weak-setting": [],  # a note does not fail the command
    }


def test_it_fails_by_what_the_command_fails_by(tmp_path: Path) -> None:
    image = ImageReport(path="d", findings=[finding(severity=Severity.WARNING)], ran=("a/b",))
    name = "guestrepair.fstab|fstab/source-not-found"
    assert cases(Report([image]), tmp_path)[name] == []
    assert cases(Report([image], Severity.WARNING), tmp_path)[name] == [Failure]
    assert cases(Report([image], None), tmp_path)[name] == []


def test_the_counts_are_those_of_the_cases_and_one_failure_has_all_subjects(tmp_path: Path) -> None:
    file = tmp_path / "x.xml"
    file.write_text(junit.render(Report([full_image(), full_image()])))
    told = JUnitXml.fromfile(str(file))
    counts = (told.tests, told.failures, told.errors, told.skipped)
    told.update_statistics()  # type: ignore[no-untyped-call]
    assert counts == (told.tests, told.failures, told.errors, told.skipped) == (18, 4, 4, 6)
    text = ET.fromstring(file.read_text()).findall(".//failure")[1].text or ""  # noqa: S314
    assert "/etc/fstab:2" in text
    assert "/etc/fstab:3" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_the_guest_holds_it_is_xml(text: str) -> None:
    written = junit.render(Report([hostile_image(text)]))
    assert not re.search("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", written)
    assert not set(written) & set("\u202e\u2066\u200f\u061c")
    plain = junit.render(Report([hostile_image("plain")]))
    tags = [[each.tag for each in ET.fromstring(page.encode()).iter()] for page in (written, plain)]  # noqa: S314
    if text:
        assert len(tags[0]) == len(tags[1])
    assert set(tags[0]) <= set(tags[1])


# --- GitLab -----------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_gitlab_takes_it(text: str) -> None:
    entries = json.loads(gitlab.render(Report([hostile_image(text), hostile_image(text), full_image()])))
    prints = [entry["fingerprint"] for entry in entries]
    assert len(set(prints)) == len(prints)
    for entry in entries:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert entry["location"]["path"]
        assert not entry["location"]["path"].startswith("/")
        assert entry["location"]["lines"]["begin"] >= 1
        entry["description"].encode()


def test_gitlab_has_what_is_open_and_what_could_not_be_looked_at() -> None:
    entries = json.loads(gitlab.render(FULL))
    assert [(e["check_name"], e["severity"], e["location"]["path"]) for e in entries] == [
        ("boot/not-examined", "major", "disk.qcow2"),
        ("packages/not-examined", "major", "disk.qcow2"),
        ("fstab/source-not-found", "critical", "etc/fstab"),
        ("fstab/source-not-found", "critical", "etc/fstab"),
        ("filesystems/corrupt", "critical", "disk.qcow2"),
        ("sshd/weak-setting", "minor", "etc/ssh/sshd config"),
    ]


# --- GitHub -----------------------------------------------------------------------

COMMAND = re.compile(r"::(error|warning|notice) [^:\r\n]*::[^\r\n]*\Z")


@pytest.mark.parametrize("text", HOSTILE)
def test_every_line_is_an_annotation_of_ours(text: str) -> None:
    lines = github.render(Report([hostile_image(text)])).split("\n")
    assert lines.pop() == ""
    for line in lines:
        assert COMMAND.match(line), ascii(line)
        properties = line.split("::")[1].partition(" ")[2].split(",")
        assert {each.partition("=")[0] for each in properties} <= {"file", "line", "title"}


def test_the_worst_come_first_and_the_rest_is_counted() -> None:
    lines = github.render(FULL).splitlines()
    assert lines[0].startswith("::error file=disk.qcow2,title=boot%3A not examined::")
    assert (
        "::error file=etc/fstab,line=2,title=fstab/source-not-found::disk.qcow2: UUID=1 is on no disk"
        in lines
    )
    assert lines[5].startswith("::notice file=etc/ssh/sshd config,title=sshd/weak-setting::")
    assert lines[-1].startswith("::notice file=disk.qcow2,title=disk.qcow2::Does not boot")
    assert github.render(many(30)).endswith("not shown here: 20 errors\n")
    assert "100%25" in github.render(Report([ImageReport(path="d", findings=[finding(message="100%")])]))


# --- Markdown ---------------------------------------------------------------------


class Elements(html.parser.HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def as_github_shows(text: str) -> Elements:
    return Elements(cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE))


@pytest.mark.parametrize("text", [text for text in HOSTILE if text])
def test_nothing_of_the_guest_becomes_markup(text: str) -> None:
    shown = as_github_shows(markdown.render(Report([hostile_image(text)])))
    plain = as_github_shows(markdown.render(Report([hostile_image("plain")])))
    assert shown.tags == plain.tags
    assert not {name for name, _ in shown.attributes} - {"align"}


def test_a_summary_says_what_is_wrong() -> None:
    text = markdown.render(FULL)
    assert text.startswith("## `/images/disk.qcow2`\n\n**Verdict:** `Does not boot: ")
    assert "Could not be examined (this is not the same as healthy)" in text
    assert "| **error** | `fstab/source-not-found` | `/etc/fstab:2` | `UUID=1 is on no disk` |" in text
    assert "| `gce` | **no** |" in text
    assert "- known: `fstab/no-target` `/etc/fstab:5`: `there since 2026-01-01`" in text


def test_a_summary_stays_under_its_limit_and_says_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(markdown, "MAX_BYTES", 20_000)
    text = markdown.render(Report([*many(300).images, full_image()]))
    assert len(text.encode()) <= 20_000
    assert re.search(r"\n\d+ lines are left out", text)
    assert "## `/images/disk.qcow2`" in text  # no image takes the room of another


@pytest.mark.parametrize("name", sorted(names_for(Report)))
def test_an_empty_report_and_an_empty_image_can_be_written(name: str) -> None:
    write = renderer(name, Report)
    assert write(Report([])) is not None
    assert write(Report([ImageReport(path="")]))
