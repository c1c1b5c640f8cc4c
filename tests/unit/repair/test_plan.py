"""Plans: edits merged, order kept, a finding taken whole or left with its reason."""

from __future__ import annotations

from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Finding,
    GuestPath,
    MakeLink,
    PackagedKind,
    Repair,
    RestoreAttributes,
    RestoreFile,
    RunGuestProgram,
    Safety,
    SetMode,
    SetOwner,
    Severity,
)
from guestrepair.packages.sources import Resolution, SourcedFile
from guestrepair.repair.plan import make_plan

NOTHING = Resolution({}, {})
FSTAB = GuestPath("/etc/fstab")
TEXT = b"one two\nthree four\n"


def finding(subject: str, *changes: Change) -> Finding:
    return Finding("area/rule", Severity.ERROR, subject, "wrong", (), Repair("mend", Safety.SAFE, changes))


def edit(offset: int, length: int, text: bytes) -> EditFile:
    return EditFile(path=FSTAB, before=TEXT, edits=(Edit(offset=offset, length=length, text=text),))


def test_edits_of_two_findings_become_one_write() -> None:
    plan = make_plan([finding("a", edit(0, 3, b"1")), finding("b", edit(8, 5, b"3"))], NOTHING)
    assert len(plan.steps) == 1
    change = plan.steps[0].change
    assert isinstance(change, EditFile)
    assert change.after == b"1 two\n3 four\n"


def test_edits_that_overlap_leave_the_later_finding() -> None:
    plan = make_plan([finding("a", edit(0, 5, b"x")), finding("b", edit(4, 3, b"y"))], NOTHING)
    assert [f.subject for f in plan.findings] == ["a"]
    assert [(left.finding.subject, "same bytes" in left.reason) for left in plan.left] == [("b", True)]


def test_a_missing_source_leaves_the_whole_finding() -> None:
    restore = RestoreFile(path=GuestPath("/usr/bin/ls"), package="p", version="1", architecture="amd64")
    mode = SetMode(path=GuestPath("/usr/bin"), before=0o777, after=0o755)
    plan = make_plan([finding("a", mode, restore)], Resolution({}, {restore: ("donor: version 2",)}))
    assert plan.steps == ()
    assert plan.left[0].reason == "donor: version 2"


def test_links_come_before_what_lies_behind_them() -> None:
    link = MakeLink(path=GuestPath("/lib64"), target="usr/lib64")
    plan = make_plan([finding("a", edit(0, 1, b"O")), finding("b", link)], NOTHING)
    assert [step.change.kind for step in plan.steps] == ["make-link", "write-file"]


def test_the_same_change_is_made_once() -> None:
    mode = SetMode(path=GuestPath("/etc"), before=0o777, after=0o755)
    assert len(make_plan([finding("a", mode), finding("b", mode)], NOTHING).steps) == 1


def test_two_modes_for_one_path_contradict_each_other() -> None:
    one = SetMode(path=GuestPath("/etc"), before=0o777, after=0o755)
    other = SetMode(path=GuestPath("/etc"), before=0o777, after=0o700)
    plan = make_plan([finding("a", one), finding("b", other)], NOTHING)
    assert [f.subject for f in plan.findings] == ["a"]


def test_the_guests_programs_run_only_when_allowed() -> None:
    program = RunGuestProgram(arguments=("update-initramfs", "-u"), reason="no initramfs")
    assert make_plan([finding("a", program)], NOTHING).steps == ()
    assert make_plan([finding("a", program)], NOTHING, guest_programs=True).steps


def test_a_package_decides_on_mode_and_owner_of_what_two_findings_see() -> None:
    directory, key = GuestPath("/var/empty/sshd"), GuestPath("/etc/ssh/ssh_host_rsa_key")
    packaged = RestoreAttributes(path=directory, package="p", version="1", architecture="amd64", mode=0o711)
    source = SourcedFile(source="rpm database", kind=PackagedKind.DIRECTORY, mode=0o711, uid=0, gid=0)
    by_sshd = SetMode(path=directory, before=0o777, after=0o755)
    elsewhere = SetMode(path=key, before=0o666, after=0o600)
    findings = [
        finding("a", by_sshd),
        finding("b", packaged),
        finding("c", SetOwner(path=directory, before=(1, 1), after=(0, 0)), elsewhere),
    ]
    plan = make_plan(findings, Resolution({packaged: source}, {}))
    assert [step.change for step in plan.steps] == [packaged, elsewhere]
    assert [f.subject for f in plan.findings] == ["a", "b", "c"]


def test_one_packaged_file_that_two_analyzers_miss_is_restored_once_with_all_that_is_known() -> None:
    path = GuestPath("/usr/bin/ls")
    bare = RestoreFile(path=path, package="p", version="1", architecture="amd64", digest="md5:1")
    known = RestoreFile(
        path=path, package="p", version="1", architecture="amd64", digest="md5:1", mode=0o755, mtime=1
    )
    file = SourcedFile(source="donor", kind=PackagedKind.FILE, mode=0o755, uid=0, gid=0)
    plan = make_plan([finding("a", bare), finding("b", known)], Resolution({bare: file, known: file}, {}))
    assert [step.change for step in plan.steps] == [known]
    assert len(plan.findings) == 2
    other = RestoreFile(path=path, package="q", version="1", architecture="amd64", digest="md5:2")
    plan = make_plan([finding("a", bare), finding("b", other)], Resolution({bare: file, other: file}, {}))
    assert [left.finding.subject for left in plan.left] == ["b"]
