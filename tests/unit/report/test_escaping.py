"""Whatever text a guest holds: no output acts on a terminal, hides anything or has a line not ours."""

from __future__ import annotations

import json as json_module
import os
import subprocess
import time
import unicodedata
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.boot import BootReport
from guestrepair.boot.outcome import Milestone, Outcome, Stage
from guestrepair.disk import HistoryEntry
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount, OperatingSystem
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeLink,
    Repair,
    Safety,
    Severity,
    Status,
    WriteFile,
)
from guestrepair.repair.plan import Plan, Step
from guestrepair.report import json, table
from guestrepair.report.data import Boot, ImageReport, RepairOutcome, Repairs, Report, StageError
from guestrepair.report.diff import MAX_COMPARED_LINES, unified_diff
from guestrepair.report.escape import printable, shell_words, valid_unicode
from guestrepair.report.formats import renderer

UNSEEN = "\u3164\u115f\u1160\uffa0\u2800\u034f\u180e\u200b\u202e\u2066\ufe0f\ufeff\u00ad\U000e0041\U000e0100"
ODD = st.sampled_from(
    [*UNSEEN, "\n", "\r", "\t", "\x1b[2J", "\x9b", "\u2028", "\ud800", "\udcff", "\0", "\x7f"]
)
TEXT = st.lists(ODD | st.text(max_size=8), max_size=12).map("".join) | st.just("x\nResult: nothing found.\n")
NAME = TEXT.map(
    lambda text: os.fsdecode(
        text.encode(errors="surrogatepass").replace(b"\0", b"").replace(b"/", b"") or b"x"
    )
).filter(lambda name: name not in {".", ".."})


def whole_report(text: str, name: str) -> ImageReport:
    """A report that has this text wherever a guest or an image can put text."""
    path = GuestPath(f"/{name}")
    edit = EditFile(path=path, before=b"a\n", edits=(Edit(offset=0, length=1, text=b"x"),))
    written = WriteFile(path=path, before=None, after=b"b\n", mode=0o644)
    link = MakeLink(path=path, target=text)
    changes: tuple[Change, ...] = (edit, written, link)
    repair = Repair(text, Safety.SAFE, changes)
    found = Finding("a/b", Severity.ERROR, text, text, (Evidence(text, text, text),), repair, (text,))
    device = BlockDevice(
        name=text, kind=DeviceKind.PARTITION, size_bytes=1, disk=text, label=text, uuid=text, content=text,
        partlabel=text,
    )  # fmt: skip
    return ImageReport(
        path=f"/x{name}", format="raw", size_bytes=1,
        os=OperatingSystem(text, text, text, text, hostname=text),
        mounts=(Mount(text, text, text),), unmounted=((text, text),),
        block=BlockDevices(disks=(Disk(name=text, size_bytes=1, host_path=text),), devices=(device,)),
        findings=[found] * 7 + [Finding("a/c", Severity.NOTE, text, text, status=Status.REPAIRED)],
        inconclusive=[Inconclusive(text, text)], errors=[StageError("open", text, text)], warnings=[text],
        left=[(found, text)], plan=Plan(steps=tuple(Step(change) for change in repair.changes)),
        outcome=RepairOutcome(
            committed=True, backups=(text,), undo=text, state_dir=f"/{name}", sources=((text, text),),
            said=((text, text),),
        ),
    )  # fmt: skip


def check_shown(shown: str, plain: str) -> None:
    """No character that acts or is not seen; and no line at the margin that a harmless text does not give."""
    shown.encode()
    for line in shown.split("\n"):
        assert all(unicodedata.category(c)[0] != "C" and c not in UNSEEN for c in line), ascii(line)
        assert not any(unicodedata.category(c) in {"Zl", "Zp"} for c in line)
    assert "\nResult: nothing found." not in shown
    if plain:
        assert shown.count("\nResult: ") == plain.count("\nResult: ")


@given(TEXT, NAME)
def test_a_table_has_only_lines_of_ours_and_characters_that_are_seen(text: str, name: str) -> None:
    report = Report([whole_report(text, name)] * 2)
    check_shown(table.render(report), table.render(Report([whole_report("x", "x")] * 2)))
    check_shown(table.render_inspection(report.images[0]), "")


@given(TEXT, NAME)
def test_the_plan_has_the_headers_of_its_changes_and_no_more(text: str, name: str) -> None:
    plan = whole_report(text, name).plan
    assert plan is not None
    lines = table.render_plan(plan).splitlines()
    assert [line for line in lines if line.startswith("--- ")] == [
        f"--- a/{printable(name)}",
        "--- /dev/null",
    ]
    assert [line for line in lines if line.startswith("+++ ")] == [f"+++ b/{printable(name)}"] * 2
    for step in plan.steps:
        if isinstance(step.change, EditFile | WriteFile):
            assert len(unified_diff(step.change).splitlines()) == (5 if step.change.before else 4)


@given(TEXT, NAME)
def test_json_is_ascii_and_gives_back_text_of_whole_characters(text: str, name: str) -> None:
    shown = json.render(Report([whole_report(text, name)]))
    assert shown.isascii()
    found = json_module.loads(shown)["images"][0]["findings"][0]
    found["message"].encode()
    assert found["message"] == valid_unicode(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\ud800", "\\ud800"), ("\udfff", "\\udfff"), ("\udc80\udcff", "\\x80\\xff"), ("\udc7f", "\\udc7f"),
        ("\ud83d\ude00", "\\ud83d\\ude00"), ("é\n\x1b", "é\n\x1b"),
    ],
)  # fmt: skip
def test_a_surrogate_is_written_as_what_it_is(text: str, expected: str) -> None:
    assert valid_unicode(text) == expected


@pytest.mark.parametrize("character", UNSEEN)
def test_a_character_that_is_not_seen_is_written_out(character: str) -> None:
    assert printable(f"a{character}b") in {f"a\\x{ord(character):02x}b", f"a\\u{ord(character):04x}b",
                                           f"a\\U{ord(character):08x}b"}  # fmt: skip


def boot_of(text: str) -> BootReport:
    return BootReport(
        outcome=Outcome.PANIC, detail=text, failed_units=(text,), seconds=1.0, firmware="BIOS",
        acceleration="tcg", milestones=(Milestone(Stage.KERNEL, 1.0, text),), ssh_banner=text,
        screenshot=text, console_tail=(text,),
    )  # fmt: skip


@given(TEXT, NAME)
def test_a_boot_and_the_history_are_as_safe(text: str, name: str) -> None:
    image = Path(f"/{name}")
    booted = Boot(image, boot_of(text))
    check_shown(renderer("table", Boot)(booted), "")
    entry = HistoryEntry(
        identifier=text, time=text, tool_version=text, phase="committed", repaired=((text, text),),
        range_count=1, changed_bytes=1, undoable=True, directory=image,
    )  # fmt: skip
    repairs = Repairs(image, (entry,))
    check_shown(renderer("table", Repairs)(repairs), "")
    for shown in (renderer("json", Boot)(booted), renderer("json", Repairs)(repairs)):
        assert shown.isascii()
        document = json_module.loads(shown)
        assert document["path"] == valid_unicode(str(image))
        json_module.dumps(document, ensure_ascii=False).encode()


@given(st.lists(NAME, min_size=1, max_size=4))
def test_a_command_to_be_copied_is_one_line_and_gives_the_same_bytes(words: list[str]) -> None:
    shown = shell_words(words)
    assert printable(shown) == shown
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {shown}"], capture_output=True, check=True)
    assert done.stdout == b"".join(os.fsencode(word) + b"\0" for word in words)


@pytest.mark.parametrize("arguments", [["repair", "--yes", "--packages", "no\x1b[2J\u202edirectory", "x"],
                                       ["scan", "--format", "\x1b[2J", "x"], ["scan\x1b[2J"]])  # fmt: skip
def test_wrong_usage_is_quoted_safely(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from guestrepair.cli.main import invoke

    assert invoke(arguments) == 2
    said = capsys.readouterr().err
    assert "x1b[2J" in said
    assert not set("\x1b\u202e") & set(said)


def diff_of(before: bytes, after: bytes) -> list[str]:
    return unified_diff(WriteFile(path=GuestPath("/f"), before=before, after=after, mode=0o644)).splitlines()


def test_a_diff_of_texts_that_share_much_is_made_in_bounded_time() -> None:
    """Lines of few kinds in no order: difflib alone needs minutes for these, and hours for 4 MiB."""
    lines = [b"%d\n" % (zlib.crc32(b"%d" % n) % 131) for n in range(400_000)]
    started = time.process_time()
    shown = diff_of(b"".join(lines[:200_000]), b"".join(lines[200_000:]))
    assert time.process_time() - started < 20
    assert shown[-1] == "(the rest of the diff is left out)"


@given(
    st.lists(st.sampled_from("abc"), max_size=12),
    st.lists(st.sampled_from("abc"), max_size=12),
    st.booleans(),
)
def test_a_diff_applied_by_patch_gives_the_new_text(before: list[str], after: list[str], long: bool) -> None:
    """Also where the texts are too long to be compared line by line."""
    padding = [str(n) for n in range(MAX_COMPARED_LINES + 1)] if long else []
    old, new = (
        "".join(f"{line}\n" for line in (*ls, *ps)) for ls, ps in ((before, padding), (after, padding[:1]))
    )
    shown = unified_diff(WriteFile(path=GuestPath("/f"), before=old.encode(), after=new.encode(), mode=0o644))
    if "left out" in shown or old == new:
        return
    assert applied(old, shown) == new


def applied(old: str, diff: str) -> str:
    """What patch(1) makes of a diff, line by line; every context line must be there."""
    lines, result, position = old.splitlines(keepends=True), [], 0
    for line in diff.splitlines(keepends=True)[2:]:
        if line.startswith("@@"):
            start, _, count = line.split()[1][1:].partition(",")
            begin = int(start) - (count != "0")
            result += lines[position:begin]
            position = begin
        elif line[0] in " -":
            assert lines[position] == line[1:]
            result += [line[1:]] if line[0] == " " else []
            position += 1
        else:
            result.append(line[1:])
    return "".join([*result, *lines[position:]])
