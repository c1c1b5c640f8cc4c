"""No line is passed over in silence: names that no disk shows, impossible ones, and lines of the network."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guestrepair.guest.devices import BlockDevice, DeviceKind, Mount
from guestrepair.model import Effect, Safety, Severity
from tests.unit.analyzers.fstab_guest import (
    DATA,
    ESP,
    GONE,
    HEALTHY,
    HOME,
    ROOT,
    SWAP,
    analyze,
    check_repair,
    device,
    ext,
    findings,
    guest,
    part,
    repaired,
    rules,
    usual,
)

ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
OPTIONAL = "nofail,x-systemd.device-timeout=10s"
MARKER = "#guestrepair: "


def of_line(
    line: str, devices: list[BlockDevice] | None = None, **options: bool
) -> list[tuple[str, Severity]]:
    """(rule, severity) of all that is found on one more line."""
    made = guest(f"{HEALTHY}{line}\n", [*usual(), *(devices or [])])
    made.directory("/srv/lun")
    found = [f for f in findings(made, **options) if f.subject == "/etc/fstab:5"]
    return [(f.rule.removeprefix("fstab/"), f.severity) for f in found]


# --- names that no device can have -------------------------------------------------------

CMDLINE = "/dev/vda3[/scratch/build/store/tmp/build-tmp-a1b2c3/proc/cmdline]"


@pytest.mark.parametrize(
    ("source", "target", "fs_type"),
    [
        (CMDLINE, "/proc/cmdline", "ext4"),
        (CMDLINE, "/data", "ext4"),
        ("tmpfs[/cmdline]", "/proc/cmdline", "tmpfs"),
        ("overlay[/etc/hostname]", "/data", "overlay"),
        ("/dev/sda5[/@data]", "/data", "xfs"),
        ("/dev/mapper/vg0-data[/sub]", "/data", "ext4"),
        ("/dev/disk/by-uuid/", "/data", "ext4"),
        ("/dev/", "/data", "ext4"),
        (r"/dev/sda5\040", "/data", "ext4"),
        ("/dev/<disk>1", "/data", "ext4"),
        ("/dev/${DISK}1", "/data", "auto"),
        ("UUID=", "/data", "ext4"),
        ("UUID=<uuid-of-data>", "/data", "ext4"),
        ("UUID=$(blkid)", "none", "swap"),
        ("LABEL=", "/data", "ext4"),
    ],
)
def test_source_not_found_of_a_name_that_no_device_can_have(source: str, target: str, fs_type: str) -> None:
    line = f"{source} {target} {fs_type} defaults,ro 0 0\n"
    made = guest(HEALTHY + line)
    (finding,) = findings(made)
    assert (finding.rule, finding.severity, finding.subject) == (
        "fstab/source-not-found",
        ERROR,
        "/etc/fstab:5",
    )
    assert finding.effect is Effect.STOPS_BOOT
    check_repair(made, HEALTHY + MARKER + line)


@pytest.mark.parametrize(
    "line",
    [
        f"{CMDLINE} /data ext4 nofail 0 0",
        f"{CMDLINE} /data ext4 noauto 0 0",
        f"{CMDLINE} /data none bind 0 0",
        "tmpfs[/x] /data tmpfs defaults 0 0",
        f"UUID={DATA} /data ext4 defaults 0 2",
        f"/dev//disk/by-uuid/{DATA} /data ext4 defaults 0 2",
        "LABEL=my(disk) /data ext4 defaults 0 2",
        "/dev/disk/by-label/my\\x28disk\\x29 /data ext4 defaults 0 2",
    ],
)
def test_names_that_look_impossible_and_are_not(line: str) -> None:
    assert not [f for f in of_line(line, [part(5, "ext4", DATA, label="my(disk)")]) if f[1] is not NOTE]


@pytest.mark.parametrize("source", ["tmpfs", "nas:/export", "none"])
def test_a_bare_word_is_no_device(source: str) -> None:
    line = f"{source} /data ext4 defaults 0 0\n"
    made = guest(HEALTHY + line)
    assert [(f.rule, f.severity) for f in findings(made)] == [("fstab/source-not-found", ERROR)]
    check_repair(made, HEALTHY + line.replace("defaults", f"defaults,{OPTIONAL}"))


def test_a_disk_on_the_kernels_place_is_one_finding() -> None:
    line = "/dev/sda5 /proc ext4 defaults 0 0\n"
    made = guest(HEALTHY + line, [*usual(), part(5, "ext4", DATA)])
    assert rules(made) == [("reserved-target", "5")]


@pytest.mark.parametrize("target", ["/", "/usr", "/var"])
def test_what_the_system_needs_is_never_taken_out_of_use(target: str) -> None:
    text = HEALTHY if target == "/" else f"{HEALTHY}/dev/vda9[/x] {target} ext4 defaults 0 2\n"
    made = guest(text.replace(f"UUID={ROOT}", "/dev/vda3[/x]"))
    assert MARKER not in repaired(made)
    root = next(f for f in findings(made) if f.subject == "/etc/fstab:2") if target == "/" else None
    assert root is None or repaired(made) == HEALTHY


def test_a_subvolume_as_findmnt_writes_it_is_named_and_not_taken_out() -> None:
    devices = [part(3, "btrfs", ROOT, subvolumes=("@", "@home"))]
    text = f"UUID={ROOT} / btrfs subvol=@ 0 0\n/dev/sda3[/@home] /home btrfs defaults 0 0\n"
    (finding,) = findings(guest(text, devices))
    assert finding.severity is ERROR
    assert finding.repair is not None
    assert (finding.repair.safety, finding.repair.changes) == (Safety.MANUAL, ())
    assert "subvol=@home" in finding.repair.summary


# --- a place that is the kernel's ------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "everything", "severity"),
    [
        ("/proc/cmdline", False, WARNING),
        ("/proc/cmdline", True, ERROR),
        ("/proc", True, WARNING),  # systemd leaves such a line alone
    ],
)
def test_reserved_target_is_one_finding_whatever_the_source_is(
    target: str, *, everything: bool, severity: Severity
) -> None:
    line = f"UUID={GONE} {target} ext4 defaults 0 0\n"
    made = guest(HEALTHY + line)
    (finding,) = findings(made, all_disks_attached=everything)
    assert (finding.rule, finding.severity) == ("fstab/reserved-target", severity)
    assert repaired(made) == HEALTHY + MARKER + line


# --- names that the machine gives --------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "/dev/disk/by-id/scsi-0QEMU_QEMU_HARDDISK_drive-scsi0",
        "/dev/disk/by-id/wwn-0x5000c500a0b1c2d3-part1",
        "/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:1:0-part1",
        "/dev/disk/azure/scsi1/lun0-part1",
        "/dev/disk/cloud/azure_resource-part1",
        "/dev/disk/by-diskseq/3-part1",
        "ID=virtio-data",
    ],
)
def test_names_of_hardware_are_told(source: str) -> None:
    line = f"{source} /data xfs defaults 0 0\n"
    made = guest(HEALTHY + line)
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/source-not-found", WARNING)
    assert repaired(made) == HEALTHY + line
    assert repaired(made, review=True) == HEALTHY + line.replace("defaults", f"defaults,{OPTIONAL}")
    assert findings(made, all_disks_attached=True)[0].severity is ERROR
    check_repair(made, HEALTHY + line.replace("defaults", f"defaults,{OPTIONAL}"), all_disks_attached=True)


def test_a_name_of_hardware_that_evidence_explains() -> None:
    devices = [*usual(), part(5, "ext4", DATA, ext=ext("/data")), part(6, "ext4", HOME)]
    line = "/dev/disk/by-id/ata-X-part7 /data ext4 defaults 0 2\n"
    made = guest(HEALTHY + line, devices)
    (finding,) = findings(made)
    assert finding.severity is ERROR  # there is no such partition, and one that was mounted there
    check_repair(made, f"{HEALTHY}UUID={DATA} /data ext4 defaults 0 2\n")
    made = guest(HEALTHY + line.replace("-part7", ""), devices)
    (finding,) = findings(made)
    assert (finding.severity, finding.repair and finding.repair.safety) == (WARNING, Safety.REVIEW)
    assert "/dev/sda5" in finding.message


def test_the_root_by_a_name_of_hardware_is_this_filesystem() -> None:
    made = guest(HEALTHY.replace(f"UUID={ROOT}", "/dev/disk/by-id/ata-X-part3"))
    assert [(f.rule, f.severity) for f in findings(made)] == [("fstab/source-not-found", WARNING)]
    assert repaired(made) != HEALTHY
    assert repaired(made, review=True) == HEALTHY


@pytest.mark.parametrize(
    ("line", "everything"),
    [
        ("/dev/zram0 none swap sw 0 0", NOTE),
        ("/dev/nbd0 /data ext4 defaults 0 2", NOTE),
        ("/dev/loop0 /data ext4 defaults 0 2", NOTE),
        ("/dev/dm-3 /data ext4 defaults 0 2", ERROR),
        ("/dev/mapper/mpatha1 /data xfs defaults 0 0", ERROR),
        ("/dev/sr0 /data iso9660 ro 0 0", ERROR),
        ("/dev/sr0 /data iso9660 ro,noauto 0 0", None),
        ("/dev/mapper/mpatha1 /data xfs _netdev 0 0", NOTE),
        ("nas:/export /data nfs4 defaults 0 0", NOTE),
        ("share /data virtiofs defaults 0 0", NOTE),
        ("/dev/sda5:/dev/sdb1 /data foofs defaults 0 0", NOTE),
        ("what /data foofs defaults 0 0", NOTE),
        ("tmpfs /data tmpfs size=1G 0 0", None),
        ("proc /proc proc defaults 0 0", None),
        (f"UUID={DATA} /data ext4 defaults 0 2", NOTE),  # nothing is known on it
        (f"UUID={DATA} /data ext4 x-systemd.makefs 0 2", None),
    ],
)
def test_source_unknown_is_said(line: str, everything: Severity | None) -> None:
    blank = [part(5, "", DATA)]
    always = of_line(line, blank)
    assert [s for _, s in always] == ([] if everything is None else [NOTE])
    assert [s for _, s in of_line(line, blank, all_disks_attached=True)] == (
        [] if everything is None else [everything]
    )


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("dm-uuid-LVM-AbCdEf0123", NOTE),
        ("dm-uuid-CRYPT-LUKS2-0123-data", WARNING),  # no such volume is open here
    ],
)
def test_a_link_that_names_a_volume_and_not_the_machine(name: str, severity: Severity) -> None:
    volume = device("/dev/vg0/data", "ext4", DATA, kind=DeviceKind.LOGICAL_VOLUME, partuuid="")
    assert [s for _, s in of_line(f"/dev/disk/by-id/{name} /data ext4 defaults 0 2", [volume])] == [severity]


# --- the network ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        f"UUID={GONE} /srv/lun ext4 _netdev,defaults 0 0",
        f"UUID={GONE} /srv/lun xfs defaults,_netdev,x-systemd.requires=iscsid.service 0 0",
        f"UUID={GONE} /srv/lun ext4 _netdev,x-systemd.device-timeout=300 0 0",
        f"UUID={GONE} /srv/lun ext4 _netdev,x-systemd.automount 0 0",
        f"UUID={GONE} /srv/lun ext4 _netdev,noauto 0 0",
        f"UUID={GONE} /srv/lun ext4 _netdev,nofail 0 0",
        "LABEL=lun /srv/lun ext4 _netdev 0 0",
        f"PARTUUID={GONE} /srv/lun ext4 _netdev 0 0",
        "/dev/sdq1 /srv/lun ext4 _netdev 0 0",
        "/dev/mapper/vg_san-data /srv/lun xfs _netdev 0 0",
        "/dev/vg_san/data /srv/lun xfs _netdev 0 0",
        "/dev/mapper/mpatha /srv/lun xfs _netdev 0 0",
        "/dev/disk/by-path/ip-10.0.0.1:3260-iscsi-iqn.2020-01.x:y-lun-0 /srv/lun xfs _netdev 0 0",
        f"UUID={GONE} /srv/lun gfs2 defaults 0 0",
        f"UUID={GONE} /srv/lun ocfs2 _netdev,defaults 0 0",
        "nas:/export /srv/lun nfs defaults 0 0",
        "//nas/share /srv/lun cifs credentials=/root/.smb 0 0",
        "10.0.0.1:6789:/ /srv/lun ceph name=admin 0 0",
        "node1:/vol /srv/lun glusterfs defaults,_netdev 0 0",
        "user@host:/dir /srv/lun fuse.sshfs defaults 0 0",
    ],
)
@pytest.mark.parametrize("everything", [False, True])
def test_source_not_found_optional_of_what_comes_over_the_network(line: str, *, everything: bool) -> None:
    made = guest(f"{HEALTHY}{line}\n")
    made.directory("/srv/lun")
    found = findings(made, all_disks_attached=everything)
    assert {f.severity for f in found} <= {NOTE}
    assert found or "noauto" in line or "automount" in line or "nofail" in line
    assert all(f.repair is None for f in found)


@pytest.mark.parametrize(
    "line",
    [
        f"UUID={GONE} /srv/lun ext4 defaults 0 0",
        f"UUID={GONE} /srv/lun ext4 _netdev,x-systemd.required-by=local-fs.target 0 0",
        f"UUID={GONE} /usr ext4 _netdev 0 0",
    ],
)
def test_what_boot_needs_all_the_same(line: str) -> None:
    assert (("source-not-found", ERROR)) in of_line(line, all_disks_attached=True)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        (f"UUID={DATA} /srv/lun xfs _netdev 0 0", "wrong-type"),
        (f"UUID={DATA} /srv/lun ext4 _netdev,subvol=@ 0 0", "bad-option"),
        ("overlay /srv/lun overlay lowerdir=/gone,_netdev 0 0", "bad-option"),
        (f"UUID={DATA.upper()} /srv/lun ext4 _netdev 0 0", "wrong-tag"),
        ("/srv/gone.img /srv/lun ext4 loop,_netdev 0 0", "bind-source"),
        (f"UUID={DATA} /boot/efi ext4 _netdev 0 0", "duplicate-target"),
    ],
)
def test_what_is_wrong_with_a_line_of_the_network_stops_no_boot(line: str, rule: str) -> None:
    assert of_line(line, [part(5, "ext4", DATA)], all_disks_attached=True) == [(rule, WARNING)]


def test_a_line_of_the_network_takes_no_filesystem_that_another_means() -> None:
    devices = [*usual(), part(5, "ext4", DATA, ext=ext("/data"))]
    text = f"{HEALTHY}UUID={GONE} /data ext4 _netdev 0 0\n"
    assert rules(guest(text, devices)) == []


@pytest.mark.parametrize("everything", [False, True])
def test_netdev_is_missed_where_only_the_options_ask_for_the_network(*, everything: bool) -> None:
    line = f"UUID={GONE} /srv/lun ext4 x-systemd.requires=open-iscsi.service 0 0\n"
    made = guest(HEALTHY + line)
    made.directory("/srv/lun")
    found = findings(made, all_disks_attached=everything)
    assert [(f.rule, f.severity) for f in found] == [
        ("fstab/netdev", WARNING),
        ("fstab/source-not-found-optional", NOTE),
    ]
    assert repaired(made) == HEALTHY + line
    assert repaired(made, review=True) == HEALTHY + line.replace(" 0 0", ",_netdev 0 0")
    here = [*usual(), part(5, "ext4", DATA)]
    made = guest(HEALTHY + line.replace(GONE, DATA), here)
    made.directory("/srv/lun")
    assert findings(made) == []


# --- paths of the guest ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("/srv /data none defaults 0 0", "/srv /data none defaults,bind 0 0"),
        ("/srv /data none", "/srv /data none bind"),
        ("/srv /data bind ro 0 0", "/srv /data bind ro,bind 0 0"),
        ("/srv /data auto defaults 0 0", "/srv /data auto defaults,bind 0 0"),
        ("/srv /data ext4 defaults 0 0", "/srv /data ext4 defaults,bind 0 0"),
    ],
)
def test_bind_source_without_bind(line: str, right: str) -> None:
    made = guest(f"{HEALTHY}{line}\n")
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/bind-source", ERROR)
    assert repaired(made) == f"{HEALTHY}{line}\n"
    assert repaired(made, review=True) == f"{HEALTHY}{right}\n"
    assert rules(guest(f"{HEALTHY}{right}\n")) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("/images/a.img /data vfat loop 0 0", True),
        ("/images/a.img /data btrfs defaults 0 0", True),
        ("/images//a.img /data auto defaults 0 0", True),
        ("/gone /data none rbind 0 0", True),
        ("/swapfile none swap sw 0 0", True),
        ("/images/b.img /data vfat loop 0 0", False),
        ("/images/a.img /data vfat loop,nofail 0 0", False),
        ("/gone /data ecryptfs defaults 0 0", False),
        ("/gone /data none remount 0 0", False),
        ("/srv /data none rbind,ro 0 0", False),
        ("/proc /data none bind 0 0", False),
        ("none /data tmpfs defaults 0 0", False),
    ],
)
def test_bind_source_that_is_not_there(line: str, *, found: bool) -> None:
    made = guest(f"{HEALTHY}{line}\n")
    made.file("/images/b.img", "")
    assert rules(made) == ([("bind-source", "5")] if found else [])


@pytest.mark.parametrize(
    ("root", "more", "severity"),
    [
        ("errors=remount-ro", "", WARNING),
        ("ro", "", ERROR),
        ("ro,rw", "", WARNING),
        ("ro", f"UUID={HOME} /srv ext4 rw 0 2\n", WARNING),
        ("rw", f"UUID={HOME} /srv ext4 ro 0 2\n", ERROR),
    ],
)
def test_target_missing_where_nothing_can_be_made(root: str, more: str, severity: Severity) -> None:
    text = HEALTHY.replace("errors=remount-ro", root) + more + f"UUID={DATA} /srv/data ext4 defaults 0 2\n"
    made = guest(
        text,
        [*usual(), part(5, "ext4", DATA), part(6, "ext4", HOME)],
        mounts=[Mount("/dev/sda6", "/srv", "ext4")],
    )
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/target-missing", severity)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.SAFE


# --- types that no disk has --------------------------------------------------------------------


@pytest.mark.parametrize("fs_type", ["nfs", "nfs4", "cifs", "ceph", "tmpfs", "overlay", "proc", "none"])
def test_wrong_type_of_a_disk_that_is_no_network(fs_type: str) -> None:
    right = f"{HEALTHY}UUID={DATA} /data ext4 defaults 0 2\n"
    made = guest(right.replace("/data ext4", f"/data {fs_type}"), [*usual(), part(5, "ext4", DATA)])
    (finding,) = [f for f in findings(made) if f.severity is not NOTE]
    assert (finding.rule, finding.severity) == ("fstab/wrong-type", ERROR)
    check_repair(made, right)


def test_wrong_type_whose_options_are_of_the_network_is_for_review() -> None:
    text = f"{HEALTHY}UUID={DATA} /data nfs rw,hard,vers=4,noatime 0 2\n"
    made = guest(text, [*usual(), part(5, "ext4", DATA)])
    assert repaired(made) == text
    assert repaired(made, review=True) == f"{HEALTHY}UUID={DATA} /data ext4 rw,noatime 0 2\n"


def test_wrong_type_of_the_root() -> None:
    made = guest(HEALTHY.replace("/         ext4", "/         overlay"))
    assert rules(made) == [("wrong-type", "2")]
    check_repair(made, HEALTHY)


@pytest.mark.parametrize(
    "line",
    [
        f"UUID={DATA} /data overlay lowerdir=/srv:/home 0 0",
        f"{DATA} /data tmpfs defaults 0 0",
        f"UUID={DATA} /data nfs noauto 0 0",
        f"UUID={DATA} /data none bind 0 0",
        f"UUID={DATA} /data fuse.ntfs-3g defaults 0 0",
    ],
)
def test_types_that_the_source_says_nothing_of(line: str) -> None:
    assert not [f for f in of_line(line, [part(5, "ext4", DATA)]) if f[1] is not NOTE]


# --- evidence that agrees with a device's name ----------------------------------------------------


@pytest.mark.parametrize("clue", ["last-mounted", "label", "content"])
def test_device_name_that_evidence_agrees_with_is_safe_with_several_disks(clue: str) -> None:
    data = device("/dev/sdb1", "ext4", DATA, disk="/dev/sdb", part_number=1)
    other = device("/dev/sdc1", "ext4", HOME, disk="/dev/sdc", part_number=1)
    if clue == "last-mounted":
        data = replace(data, ext=ext("/home"))
    elif clue == "label":
        data = replace(data, label="home")
    line = "/dev/vdb1 /home ext4 defaults 0 2\n"
    made = guest(HEALTHY + line, [*usual(), data, other], disk_count=3)
    if clue == "content":
        made.top_names["/dev/sdb1"] = ("alice",)
    assert rules(made) == [("device-name", "5")]
    check_repair(made, f"{HEALTHY}UUID={DATA} /home ext4 defaults 0 2\n")


def test_the_root_and_the_only_swap_area_with_several_disks() -> None:
    other = device("/dev/sdb1", "ext4", HOME, disk="/dev/sdb", part_number=1)
    text = HEALTHY.replace(f"UUID={ROOT}", "/dev/sda3").replace(f"UUID={SWAP}", "/dev/sda4")
    check_repair(guest(text, [*usual(), other], disk_count=2), HEALTHY)


def test_evidence_that_contradicts_the_place_is_told_and_nothing_is_guessed() -> None:
    data = device("/dev/sdb1", "ext4", DATA, disk="/dev/sdb", part_number=1)
    other = device("/dev/sdc1", "ext4", HOME, disk="/dev/sdc", part_number=1, ext=ext("/data"))
    made = guest(HEALTHY + "/dev/vdb1 /data ext4 defaults 0 2\n", [*usual(), data, other], disk_count=3)
    (finding,) = findings(made)
    assert "the evidence is for /dev/sdc1" in finding.message
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_equal_evidence_for_two_is_no_evidence() -> None:
    data = device("/dev/sdb1", "ext4", DATA, disk="/dev/sdb", part_number=1, ext=ext("/data"))
    other = device("/dev/sdc1", "ext4", HOME, disk="/dev/sdc", part_number=1, ext=ext("/data"))
    text = HEALTHY + "/dev/vdb1 /data ext4 defaults 0 2\n"
    made = guest(text, [*usual(), data, other], disk_count=3)
    assert repaired(made) == text
    assert repaired(made, review=True) == f"{HEALTHY}UUID={DATA} /data ext4 defaults 0 2\n"


def test_a_fact_that_cannot_be_read_is_not_silence() -> None:
    made = guest(f"{HEALTHY}/dev/disk/by-id/x /data ext4 defaults 0 2\nUUID={ESP} /mnt vfat defaults 0 2\n")
    made.nodes[next(p for p in made.nodes if str(p) == "/etc/passwd")].unreadable = "Input/output error"
    found, inconclusive = analyze(made)
    assert any(f.subject == "/etc/fstab:5" for f in found)
    assert inconclusive
