"""The first field: what is not there, what it should be, and when nobody can say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from guestrepair.guest.devices import BlockDevice, DeviceKind, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath, Safety, Severity
from tests.unit.analyzers.fstab_guest import (
    DATA,
    ESP,
    GONE,
    HEALTHY,
    HOME,
    ROOT,
    SWAP,
    VAR,
    analyze,
    check_repair,
    device,
    ext,
    findings,
    guest,
    part,
    repaired,
    rules,
    text_of,
    usual,
)  # fmt: skip

HOME_LINE = f"UUID={HOME} /home ext4 defaults 0 2\n"


def with_home() -> list[BlockDevice]:
    return [*usual(), part(5, "ext4", HOME)]


@pytest.mark.parametrize("wrong", [GONE, "not-a-uuid", ROOT[:-1] + "f"])
def test_the_root_is_what_this_etc_lies_on(wrong: str) -> None:
    check_repair(guest(HEALTHY.replace(ROOT, wrong)), HEALTHY)


def test_source_not_found_on_the_esp_names_the_esp() -> None:
    made = guest(HEALTHY.replace(ESP, "ABCD-1234"))
    made.top_names["/dev/sda2"] = ("EFI",)
    (finding,) = findings(made)
    assert (finding.rule, finding.severity, finding.subject) == (
        "fstab/source-not-found",
        Severity.ERROR,
        "/etc/fstab:3",
    )
    assert "/dev/sda2 (vfat, UUID=5F1D-C103) fits" in finding.message
    assert {e.observed for e in finding.evidence} >= {"UUID=ABCD-1234", "EFI"}
    check_repair(made, HEALTHY)


def test_swap_is_the_swap_area() -> None:
    check_repair(guest(HEALTHY.replace(SWAP, GONE)), HEALTHY)


def test_every_line_wrong_at_once() -> None:
    text = HEALTHY.replace(ROOT, GONE).replace(SWAP, GONE[::-1]).replace(ESP, "0000-0000")
    check_repair(guest(text), HEALTHY)


@pytest.mark.parametrize(
    "clue", ["users", "last-mounted", "label", "partlabel", "near-miss", "backup", "type"]
)
def test_home_is_found_by_each_kind_of_evidence(clue: str) -> None:
    home = part(5, "ext4", HOME)
    wrong = GONE
    if clue == "last-mounted":
        home = replace(home, ext=ext("/home"))
    elif clue == "label":
        home = replace(home, label="home")
    elif clue == "partlabel":
        home = replace(home, partlabel="Home")
    elif clue == "near-miss":
        wrong = HOME.replace("0c7b", "0c8b")
    elif clue == "type":
        home = replace(home, part_type="933ac7e1-2eb4-4f13-b844-0e14e2aef915")
    made = guest(HEALTHY + HOME_LINE.replace(HOME, wrong), [*usual(), home, part(6, "ext4", DATA)])
    if clue == "users":
        made.top_names["/dev/sda5"] = ("alice", "lost+found")
    if clue == "backup":
        made.file("/etc/fstab.orig", HEALTHY + HOME_LINE)
    check_repair(made, HEALTHY + HOME_LINE)


def test_two_that_could_be_meant_are_listed_and_nothing_is_guessed() -> None:
    devices = [*usual(), part(5, "ext4", HOME, label="home"), part(6, "ext4", DATA, ext=ext("/home"))]
    made = guest(HEALTHY + HOME_LINE.replace(HOME, GONE), devices)
    (finding,) = findings(made)
    assert finding.severity is Severity.ERROR
    assert "/dev/sda5" in finding.message
    assert "/dev/sda6" in finding.message
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    assert "nofail" in finding.repair.summary
    assert repaired(made) == HEALTHY + HOME_LINE.replace(HOME, GONE)


def test_a_filesystem_of_another_line_is_never_taken() -> None:
    made = guest(HEALTHY + HOME_LINE + f"UUID={GONE} /data ext4 defaults 0 2\n", with_home())
    made.top_names["/dev/sda5"] = ("alice",)
    (finding,) = findings(made)
    assert finding.severity is Severity.WARNING
    assert "not on the disks given" in finding.message
    assert repaired(made) == text_of(made)


def test_a_data_disk_that_is_not_here_is_a_warning_until_all_are() -> None:
    line = f"UUID={GONE} /data xfs defaults 0 0\n"
    made = guest(HEALTHY + line)
    assert rules(made) == [("source-not-found", "5")]
    assert findings(made)[0].severity is Severity.WARNING
    assert repaired(made) == HEALTHY + line
    optional = line.replace("defaults", "defaults,nofail,x-systemd.device-timeout=10s")
    assert repaired(made, review=True) == HEALTHY + optional
    assert findings(made, all_disks_attached=True)[0].severity is Severity.ERROR
    check_repair(made, HEALTHY + optional, all_disks_attached=True)


def test_nofail_without_an_options_field() -> None:
    made = guest(HEALTHY + f"UUID={GONE} /data xfs\n")
    expected = HEALTHY + f"UUID={GONE} /data xfs nofail,x-systemd.device-timeout=10s\n"
    assert repaired(made, all_disks_attached=True) == expected


@pytest.mark.parametrize("target", ["/usr", "/var"])
def test_what_the_system_needs_never_becomes_optional(target: str) -> None:
    made = guest(HEALTHY + f"UUID={GONE} {target} ext4 defaults 0 2\n")
    (finding,) = findings(made, all_disks_attached=True)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL
    assert not finding.repair.changes


def test_the_only_one_left_over_is_offered_for_review() -> None:
    made = guest(HEALTHY + f"UUID={GONE} /data xfs defaults 0 0\n", [*usual(), part(5, "xfs", DATA)])
    (finding,) = findings(made)
    assert finding.severity is Severity.WARNING
    assert repaired(made) == text_of(made)
    assert repaired(made, review=True) == HEALTHY + f"UUID={DATA} /data xfs defaults 0 0\n"


@pytest.mark.parametrize("options", ["nofail", "noauto", "noauto,x-systemd.automount"])
def test_source_not_found_optional_is_a_note(options: str) -> None:
    made = guest(HEALTHY + f"UUID={GONE} /data ext4 {options} 0 2\n")
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/source-not-found-optional", Severity.NOTE)
    assert finding.repair is None


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("LABEL=hoem", "LABEL=home"),
        ("PARTLABEL=hom", "PARTLABEL=home-part"),
        ("/dev/disk/by-uuid/" + GONE, f"/dev/disk/by-uuid/{HOME}"),
        ("/dev/disk/by-label/hme", "/dev/disk/by-label/home"),
        (f'UUID="{GONE}"', f'UUID="{HOME}"'),
        (f"PARTUUID={GONE}", "PARTUUID=own"),
    ],
)
def test_the_kind_of_name_stays(written: str, right: str) -> None:
    home = part(
        5, "ext4", HOME, label="home", partlabel="home-part", partuuid="0f0e0d0c-1111-4222-8333-444455556666"
    )
    line = f"{written} /home ext4 defaults 0 2\n"
    expected = f"{right.replace('own', home.partuuid)} /home ext4 defaults 0 2\n"
    check_repair(guest(HEALTHY + line, [*usual(), home]), HEALTHY + expected)


def test_another_partition_number_is_no_slip() -> None:
    devices = [*usual(), part(5, "ext4", DATA, partuuid="6ab8cd12-05")]
    made = guest(HEALTHY + "PARTUUID=6ab8cd12-07 /data ext4 defaults 0 2\n", devices)
    assert findings(made)[0].severity is Severity.WARNING


# --- device names -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["/dev/sda3", "/dev/vda3", "/dev/xvda3", "/dev/hda3", "/dev/nvme0n1p3"])
def test_device_name_becomes_a_uuid(name: str) -> None:
    made = guest(HEALTHY.replace(f"UUID={ROOT}", name))
    assert rules(made) == [("device-name", "2")]
    assert findings(made)[0].severity is Severity.WARNING
    check_repair(made, HEALTHY)


def test_a_disk_letter_that_is_not_here_is_decided_by_evidence() -> None:
    made = guest(HEALTHY.replace(f"UUID={ROOT}", "/dev/sdb3").replace(f"UUID={SWAP}", "/dev/sdb4"))
    assert {f.severity for f in findings(made)} == {Severity.ERROR}
    check_repair(made, HEALTHY)


def test_a_second_disk_counts_by_its_place() -> None:
    devices = [*usual(), device("/dev/sdb1", "xfs", DATA, disk="/dev/sdb", part_number=1)]
    line = "/dev/vdb1 /data xfs defaults 0 0\n"
    made = guest(HEALTHY + line, devices, disk_count=2)
    (finding,) = findings(made)
    assert finding.rule == "fstab/device-name"
    assert repaired(made, review=True) == HEALTHY + f"UUID={DATA} /data xfs defaults 0 0\n"
    assert repaired(made) == HEALTHY + line


def test_a_device_name_that_cannot_be_meant() -> None:
    made = guest(HEALTHY + "/dev/vdb1 /data xfs defaults 0 0\n")
    assert rules(made) == [("source-not-found", "5")]
    assert findings(made)[0].severity is Severity.WARNING


@pytest.mark.parametrize(
    "line", ["/dev/cdrom /mnt udf,iso9660 user,noauto 0 0", "/dev/zram0 none swap sw 0 0"]
)
def test_devices_that_are_made_at_boot(line: str) -> None:
    assert rules(guest(HEALTHY + line + "\n")) == []


# --- tags ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [f"UUID={ESP.lower()}", f"uuid={ESP}", ESP, f"LABEL={ESP}", f"UIID={ESP}", f"PARTUUID={ESP}"],
)
def test_wrong_tag_or_case(written: str) -> None:
    made = guest(HEALTHY.replace(f"UUID={ESP} ", written + " "))
    assert rules(made) == [("wrong-tag", "3")]
    check_repair(made, HEALTHY)


def test_upper_case_of_a_linux_uuid() -> None:
    made = guest(HEALTHY.replace(ROOT, ROOT.upper()))
    assert rules(made) == [("wrong-tag", "2")]
    check_repair(made, HEALTHY)


def test_the_uuid_of_a_partition() -> None:
    devices = usual()
    devices[2] = replace(devices[2], partuuid=GONE)
    made = guest(HEALTHY.replace(ROOT, GONE), devices)
    assert rules(made) == [("wrong-tag", "2")]
    check_repair(made, HEALTHY.replace(f"UUID={ROOT}", f"PARTUUID={GONE}"))


def test_the_uuid_of_the_container_and_of_the_physical_volume() -> None:
    pv = "AbCdEf-0123-4567-89aB-CdEf-0123-456789"
    devices = [
        *usual(),
        part(5, "crypto_LUKS", GONE),
        device("/dev/mapper/luks-x", "ext4", HOME, kind=DeviceKind.CRYPT, parents=("/dev/sda5",)),
        part(6, "LVM2_member", pv),
        device("/dev/vg0/srv", "xfs", DATA, kind=DeviceKind.LOGICAL_VOLUME, parents=("/dev/sda6",)),
    ]
    made = guest(HEALTHY + f"UUID={GONE} /home ext4 defaults 0 2\nUUID={pv} /srv xfs defaults 0 0\n", devices)
    assert rules(made) == [("wrong-tag", "5"), ("wrong-tag", "6")]
    check_repair(made, HEALTHY + HOME_LINE + f"UUID={DATA} /srv xfs defaults 0 0\n")


def test_ambiguous_source() -> None:
    devices = [*usual(), device("/dev/sdb1", "ext4", ROOT, disk="/dev/sdb", part_number=1)]
    made = guest(HEALTHY, devices, disk_count=2)
    (finding,) = findings(made)
    assert (finding.rule, finding.severity) == ("fstab/ambiguous-source", Severity.ERROR)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_the_members_of_one_btrfs_are_one_source() -> None:
    devices = [*usual(), part(5, "btrfs", DATA), device("/dev/sdb1", "btrfs", DATA, disk="/dev/sdb")]
    assert rules(guest(HEALTHY + f"UUID={DATA} /data btrfs defaults 0 0\n", devices, disk_count=2)) == []


# --- exchanged lines ------------------------------------------------------------------


def swapped(text: str, one: str, other: str) -> str:
    return text.replace(one, "@@").replace(other, one).replace("@@", other)


@pytest.mark.parametrize(("one", "other"), [(ROOT, SWAP), (ESP, SWAP), (ROOT, ESP)])
def test_wrong_source_of_exchanged_types(one: str, other: str) -> None:
    check_repair(guest(swapped(HEALTHY, one, other)), HEALTHY)


@pytest.mark.parametrize("with_proof", [True, False])
def test_root_and_home_exchanged(*, with_proof: bool) -> None:
    made = guest(swapped(HEALTHY + HOME_LINE, ROOT, HOME), with_home())
    if with_proof:
        made.top_names["/dev/sda5"] = ("alice",)
    assert {r for r, _ in rules(made)} == {"root-mismatch", "wrong-source"}
    check_repair(made, HEALTHY + HOME_LINE)


def test_home_and_var_exchanged() -> None:
    text = HEALTHY + HOME_LINE + f"UUID={VAR} /var ext4 defaults 0 2\n"
    made = guest(
        swapped(text, HOME, VAR),
        [*usual(), part(5, "ext4", HOME), part(6, "ext4", VAR)],
        mounts=[Mount("/dev/sda6", "/home", "ext4"), Mount("/dev/sda5", "/var", "ext4")],
    )
    made.directory("/home/lib")
    made.directory("/home/log")
    made.directory("/var/alice")
    made.top_names |= {"/dev/sda5": ("alice",), "/dev/sda6": ("lib", "log")}
    assert rules(made) == [("wrong-source", "5"), ("wrong-source", "6")]
    assert repaired(made) == text


def test_root_data_exchanged_on_the_same_type() -> None:
    text = HEALTHY + f"UUID={DATA} /data ext4 defaults 0 2\n"
    made = guest(swapped(text, ROOT, DATA), [*usual(), part(5, "ext4", DATA)])
    check_repair(made, text)


# --- volumes and containers --------------------------------------------------------------


def lvm(text: str) -> MemoryGuest:
    def volume(name: str, content: str, uuid: str) -> BlockDevice:
        return device(
            f"/dev/deb-vg/{name}", content, uuid, kind=DeviceKind.LOGICAL_VOLUME, parents=("/dev/sda5",)
        )

    devices = [
        part(2, "vfat", ESP, part_type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
        part(5, "LVM2_member", "AbCdEf-0123-4567-89aB-CdEf-0123-456789"),
        volume("root", "ext4", ROOT),
        volume("swap_1", "swap", SWAP),
        volume("home", "ext4", HOME),
    ]
    return guest(text, devices, root="/dev/deb-vg/root")


LVM = f"""/dev/mapper/deb--vg-root / ext4 errors=remount-ro 0 1
UUID={ESP} /boot/efi vfat umask=0077 0 1
/dev/mapper/deb--vg-home /home ext4 defaults 0 2
/dev/deb-vg/swap_1 none swap sw 0 0
"""


def test_a_healthy_lvm_guest() -> None:
    assert findings(lvm(LVM)) == []


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("deb--vg-home", "deb-vg-home", "crypttab"),
        ("deb--vg-home", "deb--vg-hmoe", "crypttab"),
        ("deb--vg-root", "deb--vg-boot", "source-not-found"),
        ("/dev/deb-vg/swap_1", "/dev/deb-vg/swap1", "source-not-found"),
    ],
)
def test_volume_names(right: str, wrong: str, rule: str) -> None:
    made = lvm(LVM.replace(right, wrong))
    assert [r for r, _ in rules(made)] == [rule]
    check_repair(made, LVM)


def test_a_volume_of_a_group_that_is_not_here() -> None:
    made = lvm(LVM + "/dev/mapper/data-vol1 /data xfs defaults 0 0\n")
    assert [(f.rule, f.severity) for f in findings(made)] == [("fstab/source-not-found", Severity.WARNING)]
    assert findings(made, all_disks_attached=True)[0].rule == "fstab/crypttab"


def luks(text: str, crypttab: str, *, opened: bool = True) -> MemoryGuest:
    devices = [*usual(), part(5, "crypto_LUKS", GONE)]
    if opened:
        devices.append(
            device("/dev/mapper/luks-x", "ext4", HOME, kind=DeviceKind.CRYPT, parents=("/dev/sda5",))
        )
    made = guest(text, devices)
    made.file("/etc/crypttab", crypttab)
    return made


CRYPT_LINE = "/dev/mapper/secret /home ext4 defaults 0 2\n"
CRYPTTAB = f"secret UUID={GONE} none luks\n"


@pytest.mark.parametrize("opened", [True, False])
def test_a_healthy_encrypted_home(*, opened: bool) -> None:
    assert findings(luks(HEALTHY + CRYPT_LINE, CRYPTTAB, opened=opened)) == []


def test_a_crypttab_that_cannot_be_read_is_held_against_no_line() -> None:
    made = luks(HEALTHY + CRYPT_LINE.replace("secret", "sda5_crypt"), CRYPTTAB)
    made.nodes[GuestPath("/etc/crypttab")].unreadable = "Input/output error"
    found, inconclusive = analyze(made)
    assert found == []
    assert [item.reason for item in inconclusive] == ["/etc/crypttab: Input/output error"]


def test_a_path_that_cannot_be_looked_at_costs_only_the_rules_that_ask_for_it() -> None:
    made = guest(HEALTHY.replace(ESP, "0000-0000"))
    made.nodes[GuestPath("/boot/efi")].unreadable = "Input/output error"
    found, inconclusive = analyze(made)
    assert [f.rule for f in found] == ["fstab/source-not-found"]
    assert {item.reason for item in inconclusive} == {"/boot/efi: Input/output error"}


def test_a_name_that_crypttab_does_not_have() -> None:
    made = luks(HEALTHY + CRYPT_LINE.replace("secret", "secrte"), CRYPTTAB)
    assert rules(made) == [("crypttab", "5")]
    check_repair(made, HEALTHY + CRYPT_LINE)


def test_a_container_that_is_not_there() -> None:
    made = luks(HEALTHY + CRYPT_LINE, CRYPTTAB.replace(GONE, ROOT[::-1]))
    assert [(f.rule, f.subject) for f in findings(made)] == [("fstab/crypttab", "/etc/crypttab:1")]
    assert repaired(made, path="/etc/crypttab") == CRYPTTAB


def test_what_may_be_in_a_locked_container_is_inconclusive() -> None:
    made = luks(HEALTHY + HOME_LINE, CRYPTTAB, opened=False)
    found, inconclusive = analyze(made)
    assert found == []
    assert "/etc/fstab:5" in inconclusive[0].reason
    assert "/dev/sda5" in inconclusive[0].reason


# --- btrfs ---------------------------------------------------------------------------------

BTRFS = f"""UUID={ROOT} / btrfs subvol=@,compress=zstd:1 0 0
UUID={ROOT} /home btrfs subvol=@home 0 0
UUID={ESP} /boot/efi vfat umask=0077 0 2
"""


def btrfs(text: str) -> MemoryGuest:
    devices = [
        part(2, "vfat", ESP, part_type="c12a7328-f81f-11d2-ba4b-00a0c93ec93b"),
        part(3, "btrfs", ROOT, subvolumes=("@", "@home", "@/.snapshots")),
    ]
    made = guest(text, devices)
    made.mounts = (Mount("/dev/sda3", "/", "btrfs", subvolume="@"),)
    return made


def test_a_healthy_btrfs_guest() -> None:
    assert findings(btrfs(BTRFS)) == []


def test_one_wrong_uuid_among_subvolumes() -> None:
    lines = BTRFS.splitlines(keepends=True)
    lines[1] = lines[1].replace(ROOT, GONE)
    check_repair(btrfs("".join(lines)), BTRFS)
    lines = BTRFS.splitlines(keepends=True)
    lines[0] = lines[0].replace(ROOT, GONE)
    check_repair(btrfs("".join(lines)), BTRFS)


def test_bad_option_subvolume() -> None:
    made = btrfs(BTRFS.replace("@home", "@hoem"))
    assert rules(made) == [("bad-option", "2")]
    check_repair(made, BTRFS)


# --- units -----------------------------------------------------------------------------------

UNIT = (
    f"[Mount]\nWhat=/dev/disk/by-uuid/{HOME}\nWhere=/home\nType=ext4\n[Install]\nWantedBy=local-fs.target\n"
)


def test_a_mount_unit_is_judged_like_a_line() -> None:
    made = guest(HEALTHY, [*usual(), part(5, "ext4", HOME, label="home")])
    made.file("/etc/systemd/system/home.mount", UNIT.replace(HOME, GONE))
    assert findings(made) == []
    made.link("/etc/systemd/system/local-fs.target.requires/home.mount", "../home.mount")
    (finding,) = findings(made)
    assert (finding.rule, finding.subject) == ("fstab/source-not-found", "/etc/systemd/system/home.mount:2")
    assert repaired(made, path="/etc/systemd/system/home.mount") == UNIT


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        (f"/dev/disk/by-uuid/{GONE}", "source-not-found"),
        (f"/dev/disk/by-uuid/{HOME.upper()}", "wrong-tag"),
        ("/dev/mapper/secrte", "crypttab"),
    ],
)
def test_a_source_that_a_drop_in_sets_is_told_and_no_other_byte_is_edited(source: str, rule: str) -> None:
    made = guest(HEALTHY, [*usual(), part(5, "ext4", HOME, label="home")])
    made.file("/etc/crypttab", "secret /dev/sda9 none luks\n")
    made.file("/etc/systemd/system/home.mount", UNIT)
    made.file("/etc/systemd/system/home.mount.d/x.conf", f"[Mount]\nWhat={source}\n")
    made.link("/etc/systemd/system/local-fs.target.requires/home.mount", "../home.mount")
    (finding,) = findings(made)
    assert finding.rule == f"fstab/{rule}"
    assert finding.repair is None or not finding.repair.changes


def test_unused_filesystems_without_evidence_are_listed_and_no_guess_is_made() -> None:
    text = f"{HEALTHY}UUID={GONE} /data ext4 defaults 0 2\n"
    alike = [*usual(), part(5, "ext4", DATA), part(6, "ext4", HOME)]
    (finding,) = findings(guest(text, alike))
    assert finding.severity is Severity.WARNING
    assert "used by no line: /dev/sda5" in finding.message
    assert "or /dev/sda6" in finding.message
    optional = text.replace("defaults", "defaults,nofail,x-systemd.device-timeout=10s")
    check_repair(guest(text, alike), optional, all_disks_attached=True)
    check_repair(guest(text, alike[:-1]), optional, all_disks_attached=True)


def test_wrong_tag_of_an_array_whose_members_share_a_uuid() -> None:
    members = [
        part(5, "linux_raid_member", "aaaa-bbbb"),
        device("/dev/sdb1", "linux_raid_member", "aaaa-bbbb", disk="/dev/sdb", part_number=1),
    ]
    array = device(
        "/dev/md127", "ext4", DATA, kind=DeviceKind.MD, parents=("/dev/sda5", "/dev/sdb1"), partuuid=""
    )
    text = f"{HEALTHY}UUID=aaaa-bbbb /data ext4 defaults 0 2\n"
    made = guest(text, [*usual(), *members, array], disk_count=2)
    assert rules(made) == [("wrong-tag", "5")]
    check_repair(made, text.replace("aaaa-bbbb", DATA))


def test_crypttab_a_volume_on_no_disk_where_all_are_here() -> None:
    text = f"{HEALTHY}/dev/mapper/vg1-data /data ext4 defaults 0 2\n"
    optional = text.replace("defaults", "defaults,nofail,x-systemd.device-timeout=10s")
    check_repair(guest(text), optional, all_disks_attached=True)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/initramfs-tools/conf.d/resume", f"# a comment\nRESUME=UUID={SWAP}\n"),
        ("/etc/dracut.conf.d/cmdline.conf", f'kernel_cmdline+=" rd.auto resume=UUID={SWAP} "\n'),
    ],
)
def test_what_initramfs_images_are_built_with_tells_which_swap_area_is_meant(path: str, text: str) -> None:
    table = HEALTHY.replace(SWAP, GONE)
    areas = [*usual(), part(5, "swap", DATA)]
    assert "it may mean" in findings(guest(table, areas))[0].message
    made = guest(table, areas)
    made.file(path, text)
    assert any(f"{path}:" in e.source for e in findings(made)[0].evidence)
    check_repair(made, HEALTHY)


def test_subvolid_tells_which_btrfs_is_meant() -> None:
    first = part(5, "btrfs", HOME, subvolumes=("@old",), subvolume_ids=(256,))
    second = part(6, "btrfs", DATA, subvolumes=("@snap", "@data"), subvolume_ids=(256, 300))
    text = f"{HEALTHY}UUID=%s /data btrfs subvolid=300 0 0\n"
    check_repair(guest(text % GONE, [*usual(), first, second]), text % DATA)
