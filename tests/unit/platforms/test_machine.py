"""A machine's description: what it requires, what is not known of it, and files that are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guestrepair.errors import FormatError, UsageError
from guestrepair.formats.machine import parse_machine
from guestrepair.platforms.machine import read_machine
from guestrepair.platforms.model import Platform
from guestrepair.platforms.parameters import Firmware, NicDriver, PinnedMac, PinnedName, StorageDriver

DISK = "<disk type='file' device='disk'><source file='/a.qcow2'/><target dev='{dev}'{bus}/>{more}</disk>"
CARD = "<interface type='network'><mac address='52:54:00:AA:bb:01'/>{model}</interface>"
OS = "<os><type>hvm</type></os>"


def domain(
    disks: str = "", cards: str = "", system: str = OS, controllers: str = "", start: str = ""
) -> bytes:
    return (
        f"{start}<domain type='kvm'><name>a</name>{system}"
        f"<devices>{disks}{controllers}{cards}</devices></domain>"
    ).encode()


def disk(dev: str, bus: str = "", more: str = "") -> str:
    return DISK.format(dev=dev, bus=f" bus='{bus}'" if bus else "", more=more)


def scsi(model: str) -> str:
    return f"<controller type='scsi' index='0' model='{model}'/>"


def vmx(*lines: str) -> bytes:
    return "\n".join(('.encoding = "UTF-8"', 'virtualHW.version = "19"', *lines)).encode()


def vmx_disk(bus: str, *lines: str) -> bytes:
    return vmx(f'{bus}:0.present = "TRUE"', f'{bus}:0.fileName = "a.vmdk"', *lines)


def read(tmp_path: Path, data: bytes) -> Platform:
    path = tmp_path / "web server.xml"
    path.write_bytes(data)
    return read_machine(path)


def bus_of(platform: Platform) -> tuple[str, ...]:
    return tuple(
        b for r in platform.requirements if isinstance(r.parameters, StorageDriver) for b in r.parameters.any
    )


@pytest.mark.parametrize(
    ("data", "bus"),
    [
        (domain(disk("vda", "virtio")), "virtio-blk"),
        (domain(disk("vda")), "virtio-blk"),
        (domain(disk("sda", "sata")), "ahci"),
        (domain(disk("hda", "ide")), "ide"),
        (domain(disk("nvme0n1", "nvme")), "nvme"),
        (domain(disk("xvda", "xen")), "xen"),
        (domain(disk("sda", "scsi"), controllers=scsi("virtio-scsi")), "virtio-scsi"),
        (domain(disk("sda", "scsi"), controllers=scsi("vmpvscsi")), "pvscsi"),
        (domain(disk("sda", "scsi"), controllers=scsi("lsisas1068")), "lsi-sas"),
        (domain(disk("sda", "scsi"), controllers=scsi("lsilogic")), "lsi-53c895a"),
        (domain(disk("vda", "virtio") + disk("sda", "sata", "<boot order='1'/>")), "ahci"),
        (
            domain("<disk device='cdrom'><target dev='sda' bus='sata'/></disk>" + disk("vda", "virtio")),
            "virtio-blk",
        ),
        (vmx_disk("scsi0", 'scsi0.virtualDev = "pvscsi"'), "pvscsi"),
        (vmx_disk("scsi0", 'scsi0.virtualDev = "lsilogic"'), "lsi-parallel"),
        (vmx_disk("scsi0", 'scsi0.virtualDev = "lsisas1068"'), "lsi-sas"),
        (vmx_disk("sata0"), "ahci"),
        (vmx_disk("nvme0"), "nvme"),
        (vmx_disk("ide0"), "ide"),
    ],
)
def test_the_bus_of_the_boot_disk(tmp_path: Path, data: bytes, bus: str) -> None:
    platform = read(tmp_path, data)
    assert bus_of(platform) == (bus,)
    assert platform.name == "web-server"
    assert not platform.unknown


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (domain(), "no hard disk"),
        (domain(disk("sda", "usb")), "usb"),
        (domain(disk("sda", "scsi"), controllers=scsi("buslogic")), "buslogic"),
        (vmx_disk("scsi0"), "scsi"),
        (vmx_disk("scsi0", 'scsi0:0.deviceType = "cdrom-image"'), "no hard disk"),
        (domain(disk("vda", "virtio"), CARD.format(model="<model type='ne2k_pci'/>")), "ne2k_pci"),
        (domain(disk("vda", "virtio"), CARD.format(model="")), "no model"),
    ],
)
def test_what_is_not_known_is_said(tmp_path: Path, data: bytes, said: str) -> None:
    (unknown,) = read(tmp_path, data).unknown
    assert said in unknown


@pytest.mark.parametrize(
    ("data", "card"),
    [
        (domain(disk("vda"), CARD.format(model="<model type='virtio'/>")), "virtio-net"),
        (domain(disk("vda"), CARD.format(model="<model type='e1000e'/>")), "e1000e"),
        (domain(disk("vda"), CARD.format(model="<model type='rtl8139'/>")), "rtl8139"),
        (
            vmx_disk("sata0", 'ethernet0.present = "TRUE"', 'ethernet0.virtualDev = "vmxnet3"',
                     'ethernet0.generatedAddress = "52:54:00:aa:bb:01"'),
            "vmxnet3",
        ),
    ],
)  # fmt: skip
def test_cards_and_their_macs(tmp_path: Path, data: bytes, card: str) -> None:
    found = [r.parameters for r in read(tmp_path, data).requirements]
    assert NicDriver(any=(card,)) in found
    assert PinnedMac(macs=("52:54:00:aa:bb:01",)) in found


@pytest.mark.parametrize(
    ("data", "firmware"),
    [
        (domain(disk("vda")), Firmware(any=("bios",))),
        (domain(disk("vda"), system="<os firmware='efi'/>"), Firmware(any=("uefi",))),
        (
            domain(disk("vda"), system="<os><loader type='pflash'>x</loader><nvram>y</nvram></os>"),
            Firmware(any=("uefi",), fallback=False),
        ),
        (vmx_disk("sata0", 'firmware = "efi"'), Firmware(any=("uefi",))),
        (vmx_disk("sata0", 'firmware = "efi"', 'nvram = "a.nvram"'), Firmware(any=("uefi",), fallback=False)),
    ],
)
def test_firmware_and_whether_it_knows_the_guest(tmp_path: Path, data: bytes, firmware: Firmware) -> None:
    assert firmware in [r.parameters for r in read(tmp_path, data).requirements]


LAUGHS = (
    "<!DOCTYPE a [<!ENTITY b 'lol'><!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;'>]>"
)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (domain(disk("vda"), start=LAUGHS), "entity"),
        (
            domain(disk("vda"), start="<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"),
            "entity",
        ),
        (b"<domain><devices>", "well-formed"),
        (b"<network/>", "root element is network"),
        (b"<domain/>", "without devices"),
        (b"<domain>" + b"<a>" * 100, "in one another"),
        (b"x" * (1 << 21), "more than 1 MiB"),
        (b"a = b\n", 'KEY = "VALUE"'),
        (b'a = "b"\n', "no .vmx"),
        (b"", "no .vmx"),
        (b"\0\1\2", "line 1"),
    ],
)
def test_hostile_and_other_files_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        parse_machine(data)


def test_files_that_cannot_be_read_are_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError) as caught:
            read_machine(path)
        assert str(path) in caught.value.message
        assert "virsh dumpxml" in caught.value.hint


def test_a_machine_is_never_called_as_a_platform(tmp_path: Path) -> None:
    (tmp_path / "kvm.xml").write_bytes(domain(disk("vda")))
    assert read_machine(tmp_path / "kvm.xml").name == "machine-kvm"


PC = "<os><type arch='x86_64' machine='pc-i440fx-8.2'>hvm</type></os><features><acpi/></features>"
AT = "<address type='pci' domain='0x0000' bus='0x00' slot='0x07' function='0x0'/>"
ROOT = "<controller type='pci' index='0' model='pci-root'>{}</controller>"


def card(address: str = AT, *, kind: str = "network", model: str = "<model type='virtio'/>") -> str:
    return f"<interface type='{kind}'>{model}{address}</interface>"


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (domain(cards=card(), system=PC), ("ens7",)),
        (domain(cards=card(), system=PC, controllers=ROOT.format("")), ("ens7",)),
        (domain(cards=card() + card(AT.replace("07", "1f")), system=PC), ("ens7", "ens31")),
        (domain(cards=card() + card(""), system=PC), ()),  # of one it is not known
        (domain(cards=card(AT.replace("07", "00")), system=PC), ()),
        (domain(cards=card(AT.replace("07", "20")), system=PC), ()),
        (domain(cards=card(AT.replace("0x07", "7")), system=PC), ()),  # by which base?
        (domain(cards=card(AT.replace("bus='0x00'", "bus='0x01'")), system=PC), ()),
        (domain(cards=card(AT.replace("function='0x0'", "function='0x1'")), system=PC), ()),
        (domain(cards=card(AT.replace("/>", " multifunction='on'/>")), system=PC), ()),
        (domain(cards=card(AT + "<acpi index='2'/>"), system=PC), ()),  # eno2
        (domain(cards=card(kind="hostdev"), system=PC), ()),
        (domain(cards=card(model=""), system=PC), ()),
        (domain(cards=card(), system=PC, controllers=ROOT.format("<target hotplug='off'/>")), ()),
        (domain(cards=card(), system=PC.replace("<acpi/>", "<pae/>")), ()),
        (domain(cards=card(), system=PC.replace("pc-i440fx-8.2", "pc-q35-8.2")), ()),
        (domain(cards=card(), system=PC + "<qemu:commandline><qemu:arg/></qemu:commandline>"), ()),
        (vmx('ethernet0.present = "TRUE"', 'ethernet0.pciSlotNumber = "192"'), ()),
    ],
)
def test_names_by_slot_where_slots_are_certain(tmp_path: Path, data: bytes, names: tuple[str, ...]) -> None:
    found = [r.parameters for r in read(tmp_path, data).requires("network/pinned-name")]
    assert found == [PinnedName(by_slot=names)]
