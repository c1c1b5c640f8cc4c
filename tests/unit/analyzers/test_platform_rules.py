"""platform/*: a planted fault for each kind of requirement, its healthy twin, and what cannot be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from guestrepair.analyzers.base import Analyzer
from guestrepair.analyzers.boot import ANALYZER as BOOT
from guestrepair.analyzers.boot import drivers as boot_drivers
from guestrepair.analyzers.network import ANALYZER as NETWORK
from guestrepair.guest.devices import BlockDevice, DeviceKind, ImageFile, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, GuestPath, Safety, Severity
from guestrepair.platforms.parameters import (
    Agent,
    Arguments,
    Clean,
    Console,
    Container,
    Firmware,
    NicDriver,
    Parameters,
    PinnedMac,
    PinnedName,
    RootFilesystem,
    SshdSetting,
    StorageDriver,
)
from tests.unit import boot_drivers_guest as drivers
from tests.unit.analyzers.efi_images import grub_image
from tests.unit.analyzers.platform_guest import (
    CONFIG,
    ESP,
    GIB,
    MODULES,
    NET,
    ROOT,
    guest,
    named,
    platform,
    requirement,
    run,
)

Break = Callable[[MemoryGuest], object]
GRUB = "/boot/grub/grub.cfg"
ERROR, WARNING, NOTE = Severity.ERROR, Severity.WARNING, Severity.NOTE
DRIVERS = replace(BOOT, checks=(boot_drivers.check, boot_drivers.unjudged))
SWAP = BlockDevice("/dev/sda4", DeviceKind.PARTITION, GIB, "swap", disk="/dev/sda")
VOLUME = BlockDevice("/dev/vg/root", DeviceKind.LOGICAL_VOLUME, GIB, "ext4", "1", parents=("/dev/sda3",))
CRYPT = replace(VOLUME, name="/dev/mapper/c", kind=DeviceKind.CRYPT)
UNDER = replace(ROOT, content="LVM2_member", uuid="2")
BIOS, UEFI = Firmware(any=("bios",)), Firmware(any=("uefi",))


def cut(path: str) -> Break:
    return lambda made: made.remove(path)


def write(path: str, text: str) -> Break:
    return lambda made: made.file(path, text)


def no_boot_code(made: MemoryGuest) -> None:
    made.devices["/dev/sda"] = bytes(1 << 20)


def cut_core(made: MemoryGuest) -> None:
    made.devices["/dev/sda"] = made.devices["/dev/sda"][: 64 * 512] + bytes(1 << 19)


def without_card(made: MemoryGuest) -> None:
    made.file(f"{MODULES}/modules.dep", drivers.dep(drivers.DRIVERS))


def nothing(_made: MemoryGuest) -> None:
    """Leave it as it is."""


CASES: list[tuple[str, Parameters, Break, str]] = [
    # rule, what is asked for, the fault, a word of the message
    ("firmware", BIOS, no_boot_code, "no boot code"),
    ("firmware", BIOS, cut_core, "not whole"),
    ("firmware", BIOS, cut("/boot/grub/i386-pc/normal.mod"), "i386-pc"),
    ("firmware", UEFI, cut("/boot/efi/EFI/BOOT/BOOTX64.EFI"), "BOOTX64.EFI"),
    ("firmware", UEFI, cut("/boot/efi/EFI"), "no whole program"),
    ("nic-driver", NicDriver(any=("virtio-net",)), without_card, "virtio_net is not there"),
    (
        "nic-driver",
        NicDriver(any=("virtio-net",)),
        write("/etc/modprobe.d/a.conf", "blacklist virtio_net\n"),
        "blocked",
    ),
    ("nic-driver", NicDriver(any=("gve", "idpf")), nothing, "gVNIC"),
    ("no-dhcp", Clean(), write(NET, "[Match]\nName=e*\n[Network]\nAddress=10.0.0.2/24\n"), "10.0.0.2/24"),
    ("agent-missing", Agent(any=("waagent", "cloud-init")), cut("/usr/sbin/waagent"), "waagent"),
    (
        "sshd-setting",
        SshdSetting(name="ClientAliveInterval", least=1, most=235),
        write(CONFIG, "UsePAM yes\nClientAliveInterval 5m\n"),
        "ClientAliveInterval is 5m",
    ),
    ("sshd-setting", SshdSetting(name="PasswordAuthentication", any=("no",)), nothing, "yes by default"),
    ("sshd-setting", SshdSetting(name="PermitRootLogin", any=("no",)), nothing, "prohibit-password"),
]


@pytest.mark.parametrize(("rule", "parameters", "fault", "said"), CASES)
def test_a_fault_is_found(rule: str, parameters: Parameters, fault: Break, said: str) -> None:
    made = guest()
    fault(made)
    (finding,), inconclusive = run(made, platform(requirement(f"platform/{rule}", parameters)))
    evidence = " ".join(e.observed for e in finding.evidence)
    assert (finding.rule, finding.platforms, inconclusive) == (f"platform/{rule}", ("here",), [])
    assert said in finding.message + evidence
    assert any(e.source == "https://example.org" for e in finding.evidence)


HEALTHY: list[tuple[str, Parameters]] = [
    ("firmware", BIOS),
    ("firmware", UEFI),
    ("firmware", Firmware(any=("bios", "uefi"))),
    ("nic-driver", NicDriver(any=("virtio-net",))),
    ("nic-driver", NicDriver(any=("gve", "e1000"))),
    ("console", Console(any=("hvc0", "ttyS0"))),
    ("kernel-arguments", Arguments(required=("net.ifnames=0",), forbidden=("numa=off",))),
    ("root-by-device-name", Clean()),
    ("container", Container(any=("qcow2",), multiple_mib=1024, most_gib=4)),
    ("root-filesystem", RootFilesystem(any=("xfs", "ext4"))),
    ("lvm", Clean()),
    ("encrypted-root", Clean()),
    ("swap", Clean()),
    ("no-dhcp", Clean()),
    ("agent-missing", Agent(any=("cloud-init", "waagent"))),
    ("sshd-setting", SshdSetting(name="PermitRootLogin", any=("no", "prohibit-password"))),
]


def test_what_fits_is_silent() -> None:
    everything = platform(*(requirement(f"platform/{rule}", asked) for rule, asked in HEALTHY))
    assert run(guest(), everything) == ([], [])


# --- what is made with the guest -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "parameters", "made", "said"),
    [
        ("console", Console(any=("ttyS0",)), guest(cmdline="console=tty0"), "writes to tty0"),
        ("console", Console(any=("hvc0",)), guest(cmdline="console=ttyS0,115200n8"), "console=hvc0"),
        ("kernel-arguments", Arguments(required=("a=b",)), guest(), "a=b"),
        ("kernel-arguments", Arguments(forbidden=("numa=off",)), guest(cmdline="numa=off"), "no numa=off"),
        ("swap", Clean(), guest(ROOT, SWAP), "/dev/sda4"),
        ("lvm", Clean(), guest(UNDER, VOLUME, root=Mount("/dev/vg/root", "/", "ext4")), "/dev/vg/root"),
        (
            "encrypted-root",
            Clean(),
            guest(UNDER, CRYPT, root=Mount("/dev/mapper/c", "/", "ext4")),
            "/dev/mapper/c",
        ),
        ("root-filesystem", RootFilesystem(any=("xfs",)), guest(), "is ext4"),
        (
            "root-filesystem",
            RootFilesystem(any=("btrfs",), subvolume=False),
            guest(root=Mount("/dev/sda3", "/", "btrfs", subvolume="@")),
            "no subvolume",
        ),
    ],
)
def test_a_disk_or_menu_that_does_not_fit(
    rule: str, parameters: Parameters, made: MemoryGuest, said: str
) -> None:
    (finding,), inconclusive = run(made, platform(requirement(f"platform/{rule}", parameters)))
    assert (finding.rule, inconclusive) == (f"platform/{rule}", [])
    assert said in finding.message


@pytest.mark.parametrize("name", ["/dev/sda3", "/dev/vda1", "/dev/xvda1", "/dev/nvme0n1p1", "/dev/hda1"])
def test_a_root_by_the_name_of_one_controller(name: str) -> None:
    made = guest()
    text = made.nodes[GuestPath(GRUB)].content.decode()
    made.file(GRUB, text.replace(f"UUID={drivers.UUID}", name))
    (finding,), _ = run(made, platform(requirement("platform/root-by-device-name", Clean())))
    assert (finding.rule, finding.severity) == ("platform/root-by-device-name", ERROR)
    assert drivers.UUID in finding.evidence[0].expected


@pytest.mark.parametrize(
    ("image", "size", "asked", "said"),
    [
        (ImageFile(format="qcow2"), GIB, Container(any=("raw",)), "a raw disk"),
        (ImageFile(format="vpc", kind="dynamic"), GIB, Container(any=("vpc/fixed",)), "a VHD of fixed size"),
        (ImageFile(format="vpc", kind="fixed"), GIB, Container(any=("vpc/fixed",)), ""),
        (ImageFile(format="vpc", kind="dynamic"), GIB, Container(any=("vpc",)), ""),
        (
            ImageFile(format="vmdk", kind="monolithicSparse"),
            GIB,
            Container(any=("vmdk/streamOptimized",)),
            "streamOptimized",
        ),
        (
            ImageFile(format="vmdk", kind="streamOptimized"),
            GIB,
            Container(any=("vmdk/streamOptimized",)),
            "",
        ),
        (ImageFile(format="raw"), GIB + (1 << 20), Container(any=("raw",), multiple_mib=1024), "whole GiB"),
        (ImageFile(format="raw"), GIB + 512, Container(any=("raw",), multiple_mib=1), "whole MiB"),
        (ImageFile(format="raw"), 3 * GIB, Container(any=("raw",), most_gib=2), "at most 2 GiB"),
        (ImageFile(format="qcow2", layers=2), GIB, Container(any=("qcow2",)), "without a backing file"),
    ],
)
def test_the_file_that_would_be_uploaded(image: ImageFile, size: int, asked: Container, said: str) -> None:
    made = guest(image=image, size_bytes=size)
    found, inconclusive = run(made, platform(requirement("platform/container", asked)))
    assert inconclusive == []
    assert [f.rule for f in found] == (["platform/container"] if said else [])
    assert all(said in f.message and f.repair and "qemu-img" in f.repair.summary for f in found)


# --- what cannot be told ------------------------------------------------------------------------


def unreadable(path: str) -> Break:
    def damage(made: MemoryGuest) -> None:
        made.nodes[GuestPath(path)].unreadable = "I/O error"

    return damage


@pytest.mark.parametrize(
    ("rule", "parameters", "fault"),
    [
        ("firmware", BIOS, lambda made: made.devices.clear()),
        ("firmware", UEFI, lambda made: setattr(made, "mounts", made.mounts[:1])),
        ("nic-driver", NicDriver(any=("virtio-net",)), cut(GRUB)),
        ("nic-driver", NicDriver(any=("virtio-net",)), cut(f"{MODULES}/modules.dep")),
        ("nic-driver", NicDriver(any=("virtio-net",)), unreadable(f"{MODULES}/modules.dep")),
        ("console", Console(any=("ttyS0",)), cut(GRUB)),
        ("kernel-arguments", Arguments(required=("a",)), cut(GRUB)),
        ("root-by-device-name", Clean(), cut(GRUB)),
        ("no-dhcp", Clean(), cut(NET)),
        ("sshd-setting", SshdSetting(name="PermitRootLogin", any=("no",)), unreadable(CONFIG)),
    ],
)
def test_what_a_fact_does_not_tell_is_said(rule: str, parameters: Parameters, fault: Break) -> None:
    made = guest()
    fault(made)
    found, inconclusive = run(made, platform(requirement(f"platform/{rule}", parameters)))
    assert found == []
    assert inconclusive
    assert all(each.platforms in {("here",), ()} for each in inconclusive)


def test_a_container_that_nobody_knows_or_a_device_is_not_judged() -> None:
    one = platform(requirement("platform/container", Container(any=("raw",))))
    for image in (None, ImageFile(format="raw", is_block_device=True)):
        found, (unclear,) = run(guest(image=image), one)
        assert (found, unclear.platforms) == ([], ("here",))


def test_an_unknown_piece_of_a_machine_is_said() -> None:
    _, (unclear,) = run(guest(), replace(platform(), unknown=("the driver of x is not known",)))
    assert (unclear.platforms, "driver of x" in unclear.reason) == (("here",), True)


# --- firmware, further --------------------------------------------------------------------------


def test_an_entry_in_the_nvram_spares_the_fallback() -> None:
    made = guest()
    made.remove("/boot/efi/EFI/BOOT")
    kept = Firmware(any=("uefi",), fallback=False)
    assert run(made, platform(requirement("platform/firmware", kept))) == ([], [])


def test_a_fallback_that_finds_no_configuration_is_none() -> None:
    made = guest()
    made.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", grub_image("/EFI/nowhere"))
    made.remove("/boot/efi/EFI/BOOT/grub.cfg")
    (finding,), _ = run(made, platform(requirement("platform/firmware", UEFI)))
    assert "finds no configuration" in finding.evidence[0].observed


def test_another_firmware_is_enough_where_either_will_do() -> None:
    made = guest()
    made.remove("/boot/efi/EFI")
    assert run(made, platform(requirement("platform/firmware", Firmware(any=("uefi", "bios"))))) == ([], [])


# --- several platforms, repairs --------------------------------------------------------------------


def test_platforms_that_ask_the_same_share_one_finding() -> None:
    made = guest()
    made.file("/usr/bin/cloud-init", b"x")
    found, _ = named(made, "azure-gen1", "azure-gen2", "aws-nitro")
    (container,) = [f for f in found if f.rule == "platform/container"]
    assert container.platforms == ("azure-gen1", "azure-gen2", "aws-nitro")
    assert "azure-gen1, azure-gen2 need a VHD of fixed size" in container.message
    assert len({f.identity for f in found}) == len(found)


def test_a_platform_of_which_it_is_a_note_is_not_kept_from_fitting() -> None:
    found, _ = named(guest(image=ImageFile(format="vdi")), "kvm", "openstack")
    (container,) = [f for f in found if f.rule == "platform/container"]
    assert (container.platforms, container.severity) == (("openstack",), WARNING)
    (alone,) = [f for f in named(guest(image=ImageFile(format="vdi")), "kvm")[0] if f.rule == container.rule]
    assert (alone.platforms, alone.severity) == (("kvm",), NOTE)


@pytest.mark.parametrize(
    ("default", "after"),
    [
        ('A=1\nGRUB_CMDLINE_LINUX=""\n', 'A=1\nGRUB_CMDLINE_LINUX="console=ttyS0"\n'),
        ("GRUB_CMDLINE_LINUX='a b'\n", "GRUB_CMDLINE_LINUX='a b console=ttyS0'\n"),
        ("GRUB_CMDLINE_LINUX=a\n", None),
        ("GRUB_CMDLINE_LINUX+=' a'\n", None),
        ("", None),
    ],
)
def test_the_console_is_added_to_menu_and_settings(default: str, after: str | None) -> None:
    made = guest(cmdline="ro quiet")
    made.file("/etc/default/grub", default)
    (finding,), _ = run(made, platform(requirement("platform/console", Console(any=("ttyS0",)))))
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    texts = {}
    for change in finding.repair.changes:
        assert isinstance(change, EditFile)
        (edit,) = change.edits
        assert edit.length == 0
        texts[str(change.path)] = change.before[: edit.offset] + edit.text + change.before[edit.offset :]
    assert b"ro quiet console=ttyS0\n" in texts[GRUB]
    assert texts.get("/etc/default/grub") == (None if after is None else after.encode())


def test_words_from_a_variable_are_for_a_person() -> None:
    made = guest(cmdline="$kernelopts")
    found, _ = run(made, platform(requirement("platform/console", Console(any=("ttyS0",)))))
    assert [f.repair.safety for f in found if f.repair] == [Safety.MANUAL]


# --- rules of other areas -------------------------------------------------------------------------------


def drivers_of(made: MemoryGuest, *buses: str, severity: Severity | None = None, by: Analyzer = DRIVERS):  # type: ignore[no-untyped-def]
    one = requirement("boot/initramfs-lacks-driver", StorageDriver(any=buses), severity)
    return run(made, platform(one), analyzer=by)


def with_initramfs(*modules: str) -> MemoryGuest:
    made = guest()
    made.file(drivers.INITRD, drivers.initramfs(modules))
    return made


def test_the_platforms_disks_have_to_be_reached() -> None:
    made = with_initramfs(*drivers.VIRTIO)
    assert drivers_of(made, "virtio-blk") == ([], [])
    assert drivers_of(made, "nvme", "virtio-scsi") == ([], [])
    (finding,), _ = drivers_of(made, "hyper-v")
    assert (finding.severity, finding.platforms) == (ERROR, ("here",))
    assert "here has" in finding.message
    (milder,), _ = drivers_of(made, "nvme", severity=WARNING)
    assert milder.severity is WARNING
    found, _ = named(made, "kvm", "aws-nitro", "azure-gen1", "azure-gen2", analyzer=DRIVERS)
    assert [f.platforms for f in found] == [("aws-nitro", "azure-gen1", "azure-gen2")]


def test_an_initramfs_that_boots_nowhere_fits_no_platform() -> None:
    made = with_initramfs(*drivers.VIRTIO)
    made.file(f"{MODULES}/modules.builtin", "kernel/x/a.ko\n")  # ext4 is nowhere
    (finding,), _ = drivers_of(made, "virtio-blk")
    assert finding.platforms == ("here",)


@pytest.mark.parametrize("path", [GRUB, drivers.INITRD])
def test_unknown_drivers_leave_the_platform_without_a_verdict(path: str) -> None:
    made = guest()
    made.remove(path)
    found, (unclear,) = drivers_of(made, "virtio-blk")
    assert (found, unclear.platforms) == ([], ("here",))


PINNED = "[Match]\n{}\n[Network]\nDHCP=yes\n"


@pytest.mark.parametrize(
    ("match", "rule", "parameters", "platforms"),
    [
        ("MACAddress=52:54:00:00:00:01", "mac", PinnedMac(), ("here",)),
        ("MACAddress=52:54:00:00:00:01", "mac", PinnedMac(macs=("52:54:00:00:00:01",)), ()),
        ("Name=ens192", "name", PinnedName(names=("eth0",)), ("here",)),
        ("Name=ens192", "name", PinnedName(names=("ens192",)), ()),
    ],
)
def test_a_pinned_card_that_the_platform_has_not_is_an_error(
    match: str, rule: str, parameters: Parameters, platforms: tuple[str, ...]
) -> None:
    made = guest(cmdline="ro")
    made.file(NET, PINNED.format(match))
    one = platform(requirement(f"network/pinned-{rule}", parameters))
    found, inconclusive = run(made, one, analyzer=NETWORK)
    (finding,) = [f for f in found if f.rule == f"network/pinned-{rule}"]
    assert (finding.platforms, inconclusive) == (platforms, [])
    assert finding.severity is (ERROR if platforms else WARNING)


def test_a_name_by_slot_cannot_be_judged_where_slots_are_not_known() -> None:
    made = guest(cmdline="ro")
    made.file(NET, PINNED.format("Name=ens192"))
    found, (unclear,) = run(
        made, platform(requirement("network/pinned-name", PinnedName())), analyzer=NETWORK
    )
    assert [(f.platforms, f.severity) for f in found] == [((), WARNING)]
    assert unclear.platforms == ("here",)


LINK = "/usr/lib/systemd/network/99-default.link"
POLICY = "[Match]\nOriginalName=*\n[Link]\nNamePolicy=keep kernel database onboard slot path\n"


def named_by_slot(name: str, cmdline: str = "ro") -> MemoryGuest:
    """systemd 252 with its own policy, and a kernel that knows slots; its network is for one name alone."""
    made = guest(cmdline=cmdline)
    made.file(NET, PINNED.format(f"Name={name}"))
    made.file("/usr/lib/systemd/libsystemd-shared-252.so", "x")
    made.file(LINK, POLICY)
    made.file(
        "/usr/lib/systemd/network/73-usb-net-by-mac.link", "[Match]\nPath=*-usb-*\n[Link]\nNamePolicy=mac\n"
    )
    made.file("/usr/lib/systemd/network/80-wifi-adhoc.network", "[Match]\nType=wlan\n")
    for release in (drivers.RELEASE, "6.1"):
        made.file(f"/boot/config-{release}", "CONFIG_HOTPLUG_PCI_ACPI=y\n")
    return made


SLOT_7 = platform(requirement("network/pinned-name", PinnedName(by_slot=("ens7",))))


@pytest.mark.parametrize(("name", "platforms"), [("ens7", ()), ("ens192", ("here",)), ("ens*", ())])
def test_a_name_by_slot_is_judged_where_guest_and_machine_make_it_certain(
    name: str, platforms: tuple[str, ...]
) -> None:
    found, inconclusive = run(named_by_slot(name), SLOT_7, analyzer=NETWORK)
    assert inconclusive == []
    pinned = [f for f in found if f.rule == "network/pinned-name"]
    assert [f.platforms for f in pinned] == ([] if name == "ens*" else [platforms])


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/usr/lib/systemd/libsystemd-shared-252.so", None),
        (LINK, None),
        (LINK, POLICY.replace("onboard slot", "onboard path")),
        (LINK, POLICY.replace("keep kernel", "mac")),
        ("/usr/lib/systemd/network/50-x.link", "[Match]\nDriver=virtio_net\n[Link]\nName=lan\n"),
        ("/etc/systemd/network/50-x.link", "[Match]\nOriginalName=*\n[Link]\nName=lan\n"),
        ("/etc/udev/rules.d/70-x.rules", 'SUBSYSTEM=="net", ATTR{address}=="1", NAME="lan"\n'),
        (f"/boot/config-{drivers.RELEASE}", None),
        (f"/boot/config-{drivers.RELEASE}", "# CONFIG_HOTPLUG_PCI_ACPI is not set\n"),
        ("/usr/sbin/biosdevname", "x"),
    ],
)
def test_whatever_else_may_name_a_card_leaves_it_unknown(path: str, content: str | None) -> None:
    made = named_by_slot("ens192")
    if content is None:
        made.remove(path)
    else:
        made.file(path, content)
    found, inconclusive = run(made, SLOT_7, analyzer=NETWORK)
    assert [f.platforms for f in found if f.rule == "network/pinned-name"] == [()]
    assert [i.platforms for i in inconclusive] == [("here",)]


def test_an_older_systemd_leaves_it_unknown() -> None:
    made = named_by_slot("ens192")
    made.remove("/usr/lib/systemd/libsystemd-shared-252.so")
    made.file("/usr/lib/systemd/libsystemd-shared-237.so", "x")
    _, inconclusive = run(made, SLOT_7, analyzer=NETWORK)
    assert [i.platforms for i in inconclusive] == [("here",)]


def test_a_kernel_that_is_told_of_no_slots_leaves_it_unknown() -> None:
    _, inconclusive = run(named_by_slot("ens192", "ro acpi=off"), SLOT_7, analyzer=NETWORK)
    assert [i.platforms for i in inconclusive] == [("here",)]


def test_it_runs_only_where_a_platform_is_named() -> None:
    from guestrepair.analyzers.base import AnalysisOptions
    from guestrepair.analyzers.platform import ANALYZER

    assert ANALYZER.runs is not None
    assert not ANALYZER.runs(AnalysisOptions())
    assert ANALYZER.runs(AnalysisOptions(platforms=("kvm",)))
    assert ANALYZER.runs(AnalysisOptions(machine=platform()))
    assert ESP.part_type
