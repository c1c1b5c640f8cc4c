"""Reports to be written in every format: with everything in them, hostile, and large."""

from __future__ import annotations

import dataclasses
import datetime as dt
from functools import cache

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount, OperatingSystem
from guestrepair.model import (
    Cause,
    Changed,
    Confidence,
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    Safety,
    SetMode,
    Severity,
    Status,
    Subject,
    Suppressed,
    Suspect,
)
from guestrepair.report.data import ImageReport, PlatformVerdict, Report, StageError

FSTAB = GuestPath("/etc/fstab")
BEFORE = b"# fstab\n\xc3\xbc UUID=wrong / ext4\n/dev/vdb /x\n"
EDIT = EditFile(path=FSTAB, before=BEFORE, edits=(Edit(offset=16, length=5, text=b"right"),))
MIB = 1 << 20
NOON = int(dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC).timestamp()) * 10**9

HOSTILE = (
    "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</pre></svg></style><b>", "&lt;b&gt;",
    "\u202eevil\u2066\u200f\u061c", "a\x00b\x01\x08\x0b\x1b[2J\x7f\x9b\ufffe\uffff", "\udcff\ud800", "x" * 5000,
    "| a | b |\n| --- | --- |", "`` ` ```x``", "[click](http://evil.example)![i](http://evil.example/i.png)",
    "http://evil.example www.evil.example me@evil.example @everyone #1", "\n::error::owned\r\n##[command]x",
    "%0A::set-output name=x::y", "{0} {{1}}", "]]>", "<!--", "a\\|b\\", "*b* _i_ ~~s~~ # h\n- l", "%25%", "{{{", "",
)  # fmt: skip


def finding(number: int = 1, **changes: object) -> Finding:
    """An error of a line in fstab, with all that a finding can have."""
    cause = Cause(
        changed=(Changed(path="/etc/fstab", modified_ns=NOON, changed_ns=NOON),),
        last_good_boot_ns=NOON - 10**12,
        first_bad_boot_ns=NOON + 10**12,
        suspects=(
            Suspect(
                rule="sudo", confidence=Confidence.STRONG, who="alice", what="vi /etc/fstab", when_ns=NOON - 10**10,
                certainty="exact", source="/var/log/auth.log:2",
            ),
        ),
    )  # fmt: skip
    made = Finding(
        "fstab/source-not-found",
        Severity.ERROR,
        Subject.of_line(FSTAB, number + 1),
        f"UUID={number} is on no disk",
        (Evidence("/etc/fstab", f"UUID={number}", "UUID=right"),),
        Repair("name UUID=right", Safety.SAFE, (EDIT,)),
        effect=Effect.STOPS_BOOT,
        cause=cause,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def full_image(path: str = "/images/disk.qcow2") -> ImageReport:
    """An image with everything on it."""
    mode = SetMode(path=GuestPath("/etc/shadow"), before=0o777, after=0o640)
    device = Finding(
        "filesystems/corrupt", Severity.ERROR, Subject.of_device("/dev/sda3"), "superblock is zero"
    )
    mild = Finding(
        "sshd/weak-setting", Severity.NOTE, Subject.of_path(GuestPath("/etc/ssh/sshd config")), "weak",
        repair=Repair("set mode", Safety.REVIEW, (mode,)), folded=("/etc/a", "/dev/sdb1"), effect=Effect.HYGIENE,
    )  # fmt: skip
    return ImageReport(
        path=path, format="qcow2", size_bytes=8 << 30, analyzed=True,
        os=OperatingSystem("debian", "12", "Debian GNU/Linux 12", "x86_64", "deb", "server"),
        mounts=(Mount("/dev/sda3", "/", "ext4", "5f1d"),), unmounted=(("/srv", "not there"),),
        block=BlockDevices(
            disks=(Disk(name="/dev/sda", host_path=path, size_bytes=8 << 30, table="gpt"),),
            devices=(
                BlockDevice("/dev/sda1", DeviceKind.PARTITION, MIB, disk="/dev/sda", part_number=1, start_bytes=MIB),
                BlockDevice(
                    "/dev/sda3", DeviceKind.PARTITION, 6 << 30, "ext4", disk="/dev/sda", part_number=3,
                    start_bytes=100 * MIB,
                ),
            ),
        ),
        findings=[
            finding(1), finding(2), device, mild,
            finding(3, rule="fstab/option-unknown", severity=Severity.WARNING, effect=Effect.DEGRADES, repair=None,
                    suppressed=Suppressed("ignore", "the factory does that", "2027-03-01")),
            finding(4, rule="fstab/no-target", suppressed=Suppressed("baseline", "there since 2026-01-01")),
            finding(5, status=Status.REPAIRED),
        ],
        inconclusive=[Inconclusive("packages", "the database cannot be read")],
        errors=[StageError("boot", "no boot", "look")], warnings=["was interrupted"],
        platforms=(PlatformVerdict("kvm", True), PlatformVerdict("gce", False), PlatformVerdict("aws", None)),
        ran=("fstab/no-target", "fstab/option-unknown", "fstab/source-not-found", "packages/file-missing",
             "sshd/weak-setting", "filesystems/dirty"),
        timings=[("all", 1.5)],
    )  # fmt: skip


def hostile_image(text: str) -> ImageReport:
    """An image of which every text is this one."""
    path = GuestPath("/" + (text.replace("\0", "").replace("/", "")[:200] or "x"))
    edit = EditFile(
        path=path, before=b"a\n" + text.encode(errors="replace"), edits=(Edit(offset=0, length=1, text=b"b"),)
    )
    cause = Cause(
        changed=(Changed(path=text, changed_ns=NOON),),
        suspects=(
            Suspect(rule=text, confidence=Confidence.LIKELY, who=text, what=text, when_ns=-(1 << 80), certainty=text,
                    source=text),
        ),
    )  # fmt: skip
    found = [
        Finding("a/b", severity, Subject.of_line(path, 2), text, (Evidence(text, text, text),),
                Repair(text, Safety.SAFE, (edit,)), (text, "/" + text), effect=Effect.STOPS_LOGIN, cause=cause)
        for severity in Severity
    ]  # fmt: skip
    found += [Finding("a/c", Severity.ERROR, text, text, suppressed=Suppressed("ignore", text, text))]
    found += [
        Finding("a/d", Severity.ERROR, "/", text),
        Finding("a/d", Severity.ERROR, "", "", status=Status.FAILED),
    ]
    device = BlockDevice(text, DeviceKind.PARTITION, 1, text, text, text, disk=text, part_number=1)
    return ImageReport(
        path=f"/x/{text}", format=text, size_bytes=1, os=OperatingSystem(text, text, text, text, text, text),
        mounts=(Mount(text, text, text, text),), unmounted=((text, text),),
        block=BlockDevices((Disk(text, text, 1), Disk(text, text, 1, table=text)), (device,), ((text, text),)),
        findings=found, inconclusive=[Inconclusive(text, text)], errors=[StageError(text, text, text)],
        warnings=[text], platforms=(PlatformVerdict(text, None),), ran=("a/b", "a/e"), left=[(found[0], text)],
    )  # fmt: skip


@cache
def many(count: int) -> Report:
    """A report of one image with so many findings."""
    found = [
        Finding(
            f"packages/file-missing-{number % 7}", Severity.ERROR, Subject.of_path(GuestPath(f"/usr/lib/{number}.so")),
            f"/usr/lib/{number}.so of libc6 2.36 is missing", (Evidence("deb database", "not there", f"md5:{number}"),),
            Repair(f"restore /usr/lib/{number}.so", Safety.SAFE, (EDIT,)), effect=Effect.STOPS_BOOT,
        )
        for number in range(count)
    ]  # fmt: skip
    return Report([ImageReport(path="disk.raw", analyzed=True, findings=found)])
