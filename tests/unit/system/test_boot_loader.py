"""The boot loader's configurations: each read once, wherever it is; entries, the default and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, Disk, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.boot_loader import (
    BootCodeKind,
    BootLoader,
    CommandLineFile,
    Configuration,
    Default,
    Kind,
)
from guestrepair.system.fact import Unreadable

UUID = "5f1d2c34-0b6e-4c39-9d5a-6a1f3be0c101"
GRUB, GRUBENV = "/boot/grub/grub.cfg", "/boot/grub/grubenv"
ENTRIES = "/boot/loader/entries"


def entry(name: str, *, root: str = UUID, indent: str = "") -> str:
    lines = (
        f"menuentry 'Linux {name}' $menuentry_id_option 'id-{name}' {{",
        f"  search --no-floppy --fs-uuid --set=root {root}",
        f"  linux /vmlinuz-{name} root=UUID={root} ro $tuned_params",
        f"  initrd /initrd.img-{name}",
        "}",
    )
    return "".join(f"{indent}{line}\n" for line in lines)


MENU = (
    'set default="${saved_entry}"\n'
    + entry("one")
    + "submenu 'More' $menuentry_id_option 'more' {\n"
    + entry("two", indent="  ")
    + entry("three", indent="  ")
    + "}\nmenuentry 'Firmware' --id firmware {\n  fwsetup\n}\n"
    + entry("four")
)


def block(**values: str) -> bytes:
    text = "# GRUB Environment Block\n" + "".join(f"{name}={value}\n" for name, value in values.items())
    return text.encode().ljust(1024, b"#")


def bls(guest: MemoryGuest, name: str, version: str, *, options: str = "root=/dev/sda1 ro") -> None:
    text = f"title Linux {version}\nversion {version}\nlinux /vmlinuz-{version}\n"
    text += f"initrd /initramfs-{version}.img\noptions {options}\n"
    guest.file(f"{ENTRIES}/{name}.conf", text)


def default_of(loader: BootLoader) -> Default:
    assert loader.default is not None
    return loader.default


def kernel_of(loader: BootLoader) -> str:
    chosen = default_of(loader).entry
    assert chosen is not None
    assert chosen.entry.kernel is not None
    return chosen.entry.kernel.text


def unread_of(loader: BootLoader) -> list[tuple[str, str]]:
    return [(each.path, each.reason) for each in loader.unread]


# --- GRUB ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("saved", "kernel", "missing"),
    [
        ("Linux one", "/vmlinuz-one", ""),
        ("id-one", "/vmlinuz-one", ""),
        ("0", "/vmlinuz-one", ""),
        ("1", "/vmlinuz-two", ""),  # a submenu boots its first
        ("3", "/vmlinuz-four", ""),
        ("more", "/vmlinuz-two", ""),
        ("More", "/vmlinuz-two", ""),
        ("1>1", "/vmlinuz-three", ""),
        ("more>id-three", "/vmlinuz-three", ""),
        ("More>Linux three", "/vmlinuz-three", ""),
        ("more>7", "/vmlinuz-one", "more>7"),
        ("id-three", "/vmlinuz-one", "id-three"),  # of a submenu, and GRUB looks at the top only
        ("9", "/vmlinuz-one", "9"),
        ("gone>id-two", "/vmlinuz-one", "gone>id-two"),
    ],
)
def test_a_saved_entry_is_found_by_title_identifier_and_index(saved: str, kernel: str, missing: str) -> None:
    guest = MemoryGuest()
    guest.file(GRUB, MENU)
    guest.file(GRUBENV, block(saved_entry=saved))
    loader = BootLoader(guest)
    assert (kernel_of(loader), default_of(loader).missing) == (kernel, missing)
    assert default_of(loader).why == ("the first entry" if missing else f"saved_entry in {GRUBENV}")


@pytest.mark.parametrize(
    ("text", "environment", "why"),
    [
        ('set default="id-four"\n' + entry("one") + entry("four"), {}, f"default in {GRUB}"),
        ('set default="1"\n' + entry("one") + entry("four"), {"saved_entry": "0"}, f"default in {GRUB}"),
        (entry("four") + entry("one"), {"saved_entry": "id-one"}, "the first entry"),
        (entry("a>b") + entry("four"), {"saved_entry": "id-four"}, None),
    ],
)
def test_what_says_which_entry_boots(text: str, environment: dict[str, str], why: str | None) -> None:
    guest = MemoryGuest()
    guest.file(GRUB, text if why else 'set default="${saved_entry}"\n' + text)
    guest.file(GRUBENV, block(**environment))
    loader = BootLoader(guest)
    assert (kernel_of(loader), default_of(loader).why) == (
        "/vmlinuz-four",
        why or f"saved_entry in {GRUBENV}",
    )


def test_a_default_that_is_no_kernel_is_no_other_entry() -> None:
    guest = MemoryGuest()
    guest.file(GRUB, MENU)
    guest.file(GRUBENV, block(saved_entry="firmware"))
    found = default_of(BootLoader(guest))
    assert (found.entry, found.why, found.missing) == (None, f"saved_entry in {GRUBENV}", "")


def test_a_title_with_the_sign_between_menus_is_written_twice() -> None:
    guest = MemoryGuest()
    guest.file(GRUB, 'set default="${saved_entry}"\n' + entry("one") + entry("a>b"))
    guest.file(GRUBENV, block(saved_entry="Linux a>>b"))
    assert kernel_of(BootLoader(guest)) == "/vmlinuz-a>b"


def test_a_menu_on_the_efi_system_partition_only_is_the_menu() -> None:
    guest = MemoryGuest()
    guest.file("/boot/efi/EFI/other/grub.cfg", f"search.fs_uuid {UUID} root\nconfigfile $prefix/grub.cfg\n")
    path = "/boot/efi/EFI/centos/grub.cfg"
    guest.file(path, MENU)
    guest.file("/boot/efi/EFI/centos/grubenv", block(saved_entry="id-four", tuned_params="isolcpus=1"))
    loader = BootLoader(guest)
    assert [m.path for m in loader.grub_menus] == [P(path)]
    assert [c.path for c in loader.of_kind(Kind.GRUB_STUB)] == [P("/boot/efi/EFI/other/grub.cfg")]
    assert kernel_of(loader) == "/vmlinuz-four"
    assert [line.place for line in loader.lines] == [e.place for e in loader.entries]
    assert loader.lines[0].cmdline.get("isolcpus") == "1"
    assert {uuid for _, uuid in loader.searched} == {UUID}
    assert all(place.startswith(path) for place, _ in loader.searched)
    assert loader.named_in(UUID.upper()) is not None
    assert loader.named_in("no-such-uuid") is None


def test_a_menu_in_boot_makes_one_on_the_efi_system_partition_a_stub() -> None:
    guest = MemoryGuest()
    guest.file(GRUB, entry("one"))
    guest.file("/boot/efi/EFI/debian/grub.cfg", entry("two"))
    loader = BootLoader(guest)
    assert [e.path for e in loader.entries] == [P(GRUB)]
    assert [c.kind for c in loader.configurations if isinstance(c, Configuration)] == [
        Kind.GRUB,
        Kind.GRUB_STUB,
    ]


LEGACY = (
    "# grub.conf\ndefault={}\ntimeout=5\nhiddenmenu\ntitle Other\n\trootnoverify (hd0,1)\n\tchainloader +1\n"
    "title CentOS (2.6.32)\n\troot (hd0,0)\n\tkernel /vmlinuz-2.6.32 ro root=/dev/sda2 quiet\n"
    "\tinitrd /initramfs-2.6.32.img\n"
    "title Xen\n\tuuid 1234-abcd\n\tkernel --type=multiboot /xen.gz dom0_mem=1G\n"
    "\tmodule /vmlinuz-xen ro root=/dev/sda2\n\tmodule /initrd-xen\n"
)


@pytest.mark.parametrize(
    ("default", "saved", "kernel"),
    [
        ("1", None, "/vmlinuz-2.6.32"),
        ("2", None, "/vmlinuz-xen"),
        ("saved", "2\n##", "/vmlinuz-xen"),
        ("9", None, "/vmlinuz-2.6.32"),
    ],
)
def test_grub_legacy(default: str, saved: str | None, kernel: str) -> None:
    guest = MemoryGuest()
    guest.file("/boot/grub/grub.conf", LEGACY.format(default))
    guest.link("/boot/grub/menu.lst", "./grub.conf")
    if saved is not None:
        guest.file("/boot/grub/default", saved)
    loader = BootLoader(guest)
    assert kernel_of(loader) == kernel
    assert [e.entry.title for e in loader.entries] == ["CentOS (2.6.32)", "Xen"]
    assert [w.text for w in loader.entries[1].files] == ["/vmlinuz-xen", "/initrd-xen"]
    assert [line.cmdline.root for line in loader.lines] == ["/dev/sda2", "/dev/sda2"]
    first = loader.entries[0]
    root = first.entry.root
    assert root is not None
    assert first.data[root.value_offset :][: root.value_length] == b"/dev/sda2"
    assert loader.searched == (("/boot/grub/grub.conf:13", "1234-abcd"),)
    assert loader.unread == ()


def test_what_an_upgrade_left_of_grub_legacy_does_not_count() -> None:
    guest = MemoryGuest()
    guest.file("/boot/grub/menu.lst", LEGACY.format(0))
    guest.file(GRUB, entry("one"))
    assert [e.entry.title for e in BootLoader(guest).entries] == ["Linux one"]


# --- Boot Loader Specification -------------------------------------------------------------


def test_entries_take_kernelopts_from_the_environment_block() -> None:
    guest = MemoryGuest()
    guest.file("/boot/grub2/grub.cfg", 'set default="${saved_entry}"\nset tuned_params="a=b"\nblscfg\n')
    guest.file("/boot/grub2/grubenv", block(saved_entry="m-5.9", kernelopts=f"root=UUID={UUID} ro"))
    for version in ("5.9", "5.14"):
        bls(guest, f"m-{version}", version, options="$kernelopts $tuned_params $unknown")
    loader = BootLoader(guest)
    assert [e.entry.version for e in loader.entries] == ["5.14", "5.9"]
    assert kernel_of(loader) == "/vmlinuz-5.9"
    names = [(p.name, p.value) for p in loader.entries[0].entry.cmdline.parameters]
    assert names == [("root", f"UUID={UUID}"), ("ro", None), ("a", "b")]
    assert loader.lines[0].cmdline.root == f"UUID={UUID}"


@pytest.mark.parametrize(
    ("saved", "kernel", "missing"),
    [
        ("Linux 5.9", "/vmlinuz-5.9", ""),
        ("1", "/vmlinuz-5.9", ""),
        ("0", "/vmlinuz-5.14", ""),
        ("", "/vmlinuz-5.14", ""),
        ("m-4.0", "/vmlinuz-5.14", "m-4.0"),
    ],
)
def test_grubs_default_among_entries(saved: str, kernel: str, missing: str) -> None:
    guest = MemoryGuest()
    guest.file("/boot/grub2/grub.cfg", 'set default="${saved_entry}"\nblscfg\n' + entry("late"))
    guest.file("/boot/grub2/grubenv", block(saved_entry=saved))
    for name, version in (("m-5.9", "5.9"), ("m-5.14+2-1", "5.14"), ("m-0-rescue", "0-rescue")):
        bls(guest, name, version)
    loader = BootLoader(guest)
    assert (kernel_of(loader), default_of(loader).missing) == (kernel, missing)


@pytest.mark.parametrize(
    ("conf", "kernel", "why"),
    [
        ("default m-5.9.conf\n", "/vmlinuz-5.9", "default in /boot/loader/loader.conf"),
        ("default m-5.9*\ntimeout 3\n", "/vmlinuz-5.9", "default in /boot/loader/loader.conf"),
        ("timeout 3\n", "/vmlinuz-5.14", "the highest version"),
        ("default @saved\n", "/vmlinuz-5.14", "the highest version"),
        (None, "/vmlinuz-5.14", "the highest version"),
    ],
)
def test_systemd_boot(conf: str | None, kernel: str, why: str) -> None:
    guest = MemoryGuest()
    for version in ("5.9", "5.14"):
        bls(guest, f"m-{version}", version)
    if conf is not None:
        guest.file("/boot/loader/loader.conf", conf)
    loader = BootLoader(guest)
    assert (kernel_of(loader), default_of(loader).why, default_of(loader).missing) == (kernel, why, "")


def test_a_pattern_that_means_a_unified_kernel_misses_nothing() -> None:
    guest = MemoryGuest()
    bls(guest, "m-5.9", "5.9")
    guest.file("/boot/EFI/Linux/own.efi", b"MZ")
    guest.file("/boot/loader/loader.conf", "default own*\n")
    loader = BootLoader(guest)
    assert loader.unified == (P("/boot/EFI/Linux/own.efi"),)
    assert (default_of(loader).entry, default_of(loader).missing) == (None, "")


# --- extlinux, files, command lines -----------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "title", "missing"),
    [
        ("DEFAULT second", "second", ""),
        ("default vesamenu.c32", "first", ""),
        ("DEFAULT gone", "first", "gone"),
        ("", "first", ""),
    ],
)
def test_extlinux(default: str, title: str, missing: str) -> None:
    guest = MemoryGuest()
    text = f"{default}\nAPPEND root=/dev/vda1\nLABEL first\n KERNEL ../vmlinuz\n INITRD /boot/a,b.img\n"
    guest.file(
        "/boot/extlinux/extlinux.conf", text + "LABEL second\n LINUX /vmlinuz\n APPEND root=/dev/vda2\n"
    )
    guest.file("/boot/vmlinuz")
    guest.file("/boot/extlinux/b.img")
    loader = BootLoader(guest)
    found = default_of(loader)
    assert found.entry is not None
    assert (found.entry.entry.title, found.missing) == (title, missing)
    first, second = loader.entries
    assert [loader.find(word, first) for word in first.files] == [
        P("/boot/vmlinuz"),
        None,
        P("/boot/extlinux/b.img"),
    ]
    assert [loader.find(word, second) for word in second.files] == [P("/boot/vmlinuz")]
    assert [line.cmdline.root for line in loader.lines] == ["/dev/vda1", "/dev/vda2"]


def test_a_kernel_in_a_subvolume_is_found_where_that_is_mounted() -> None:
    guest = MemoryGuest(mounts=(Mount("/dev/sda1", "/", "btrfs", subvolume="@"),))
    guest.file(GRUB, "menuentry x {\n linux /@/boot/vmlinuz root=/dev/sda1\n}\n")
    guest.file("/boot/vmlinuz")
    loader = BootLoader(guest)
    (found,) = loader.entries
    assert loader.find(found.files[0], found) == P("/boot/vmlinuz")


def test_command_lines_without_a_menu_are_those_of_kernel_install_and_of_images() -> None:
    guest = MemoryGuest()
    guest.file("/etc/kernel/cmdline", "root=/dev/sda1 rw\n")
    guest.file("/etc/initramfs-tools/conf.d/resume", f"# x\nRESUME=UUID={UUID}\n")
    guest.file("/etc/dracut.conf.d/a.conf", 'kernel_cmdline+="rd.lvm.lv=a/b root=/dev/sdz"\n')
    loader = BootLoader(guest)
    assert [(li.place, li.is_rescue) for li in loader.lines] == [
        ("/etc/kernel/cmdline", False),
        ("/etc/initramfs-tools/conf.d/resume:2", True),
        ("/etc/dracut.conf.d/a.conf:1", True),
    ]
    assert loader.lines[1].cmdline.get("resume") == f"UUID={UUID}"
    (file,) = loader.kernel_cmdlines
    assert isinstance(file, CommandLineFile)
    assert file.cmdline.writable_root
    guest.file(GRUB, entry("one"))
    assert BootLoader(guest).lines[0].place == f"{GRUB}:1"


def test_default_grub_is_read_and_empty_only_when_it_is_not_there() -> None:
    guest = MemoryGuest()
    assert BootLoader(guest).default_grub == ()
    guest.file("/etc/default/grub", 'GRUB_CMDLINE_LINUX="quiet"\n')
    assert [(a.name, a.value.text) for a in BootLoader(guest).default_grub] == [
        ("GRUB_CMDLINE_LINUX", "quiet")
    ]


@pytest.mark.parametrize(
    ("path", "expected"), [("/boot/vmlinuz-6.1", True), ("/boot/loader/x", True), ("/boot/x", False)]
)
def test_whether_a_guest_is_started_from_outside(path: str, *, expected: bool) -> None:
    guest = MemoryGuest()
    guest.file(path)
    assert BootLoader(guest).has_loader_or_kernel is expected


# --- unreadable, and hostile -----------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        GRUB,
        GRUBENV,
        "/boot/extlinux/extlinux.conf",
        f"{ENTRIES}/a.conf",
        "/boot/loader/loader.conf",
        "/boot/grub/menu.lst",
        "/boot/efi/EFI/debian/grub.cfg",
        "/etc/kernel/cmdline",
        "/etc/dracut.conf.d/a.conf",
    ],
)
def test_what_cannot_be_read_is_unreadable_and_never_nothing(path: str) -> None:
    guest = MemoryGuest()
    guest.file(path, "x").unreadable = "Input/output error"
    loader = BootLoader(guest)
    assert (loader.entries, loader.default) == ((), None)
    assert {reason for _, reason in unread_of(loader)} == {"Input/output error"}
    assert path in {where for where, _ in unread_of(loader)}


def test_an_old_menu_does_not_stand_in_for_one_that_cannot_be_read() -> None:
    guest = MemoryGuest()
    guest.file("/boot/grub/menu.lst", LEGACY.format(0))
    guest.file(GRUB, "x").unreadable = "Input/output error"
    loader = BootLoader(guest)
    assert (loader.entries, unread_of(loader)) == ((), [(GRUB, "Input/output error")])


def test_a_menu_that_does_not_parse_is_unreadable_with_its_path() -> None:
    guest = MemoryGuest()
    guest.file(GRUB, "menuentry 'x {\n")
    loader = BootLoader(guest)
    (lost,) = loader.configurations
    assert isinstance(lost, Unreadable)
    assert lost.path == GRUB
    assert loader.unread == (lost,)


def test_a_default_is_not_missing_where_somebody_could_not_look() -> None:
    guest = MemoryGuest()
    guest.file("/boot/grub2/grub.cfg", 'set default="${saved_entry}"\nblscfg\n')
    guest.file("/boot/grub2/grubenv", block(saved_entry="m-5.9"))
    bls(guest, "m-5.8", "5.8")
    assert default_of(BootLoader(guest)).missing == "m-5.9"
    guest.file(f"{ENTRIES}/m-5.9.conf", "x").unreadable = "Input/output error"
    assert default_of(BootLoader(guest)).missing == ""


def test_more_entries_than_are_looked_at_are_said() -> None:
    guest = MemoryGuest()
    guest.file(GRUB, "".join(entry(str(n)) for n in range(100)))
    for number in range(70):
        bls(guest, f"m-{number}", f"5.{number}")
    loader = BootLoader(guest)
    assert len(loader.entries) == 64
    assert unread_of(loader) == [
        (GRUB, "100 entries, of which 64 were looked at"),
        (ENTRIES, "70 files, of which 64 were looked at"),
    ]


def test_variables_that_grow_without_bound_make_an_entry_unreadable() -> None:
    guest = MemoryGuest()
    guest.file("/boot/grub2/grub.cfg", "blscfg\n")
    guest.file("/boot/grub2/grubenv", b"# GRUB Environment Block\nkernelopts=" + b"a " * 20_000 + b"\n")
    bls(guest, "m-1", "1", options="$kernelopts " * 2_000)
    loader = BootLoader(guest)
    assert loader.entries == ()
    assert [path for path, _ in unread_of(loader)] == [f"{ENTRIES}/m-1.conf"]


@given(st.binary(max_size=200), st.binary(max_size=100), st.binary(max_size=60))
def test_hostile_files_give_facts_or_unreadable(menu: bytes, environment: bytes, conf: bytes) -> None:
    guest = MemoryGuest()
    guest.file(GRUB, MENU.encode() + menu)
    guest.file(GRUBENV, b"# GRUB Environment Block\nsaved_entry=" + environment)
    guest.file("/boot/grub2/grub.cfg", b"blscfg\n" + menu)
    guest.file(f"{ENTRIES}/a.conf", b"linux /a\noptions $a " + menu)
    guest.file("/boot/loader/loader.conf", b"default " + conf)
    guest.file("/boot/extlinux.conf", b"default " + conf + b"\nlabel a\nkernel " + environment)
    loader = BootLoader(guest)
    for found in loader.entries:
        assert found.entry.kernel is not None
        for word in found.files:
            loader.find(word, found)
    assert loader.default is None or default_of(loader).why
    assert all(each.path for each in loader.unread)


# --- the loader's own parts -------------------------------------------------------------------


def disk(sector: bytes, core: bytes = b"core" * 8192) -> MemoryGuest:
    device = BlockDevice("/dev/sda1", DeviceKind.PARTITION, 1 << 20, "ext4", UUID, disk="/dev/sda")
    guest = MemoryGuest(
        block=BlockDevices((Disk("/dev/sda", "x", 1 << 20),), (device,)),
        mounts=(Mount("/dev/sda1", "/", "ext4"),),
    )
    content = bytearray(1 << 20)
    content[: len(sector)] = sector
    content[0x5C:0x64] = (64).to_bytes(8, "little") if b"GRUB " in sector else bytes(8)
    content[64 * 512 : 64 * 512 + len(core)] = core
    guest.devices["/dev/sda"] = bytes(content)
    return guest


@pytest.mark.parametrize(
    ("sector", "core", "kind", "whole"),
    [
        (b"\xeb\x63\x90 GRUB ", b"core" * 8192, BootCodeKind.GRUB, True),
        (b"\xeb\x63\x90 GRUB ", b"", BootCodeKind.GRUB, False),
        (b"\xeb\x48\x90 GRUB ", b"", BootCodeKind.GRUB_LEGACY, True),
        (b"\xfasyslinux", b"", BootCodeKind.OTHER, True),
        (b"", b"", BootCodeKind.NONE, True),
    ],
)
def test_boot_code(sector: bytes, core: bytes, kind: BootCodeKind, *, whole: bool) -> None:
    code = BootLoader(disk(sector, core)).boot_code
    assert code is not None
    assert (code.disk.name, code.kind, code.core_is_whole) == ("/dev/sda", kind, whole)
    assert code.core_sector == (64 if kind is BootCodeKind.GRUB else 0)


def test_efi_programs_are_whole_damaged_or_unread() -> None:
    guest = MemoryGuest(mounts=(Mount("/dev/sda1", "/boot/efi", "vfat"),))
    guest.file("/boot/efi/EFI/BOOT/BOOTX64.EFI", b"MZ")
    guest.file("/boot/efi/EFI/debian/grubx64.efi", b"\0\0")
    guest.directory("/boot/efi/EFI/debian/odd.efi")
    efi = BootLoader(guest).efi
    assert efi is not None
    assert (efi.target, efi.programs) == (
        "/boot/efi",
        {P("/boot/efi/EFI/BOOT/BOOTX64.EFI"): True, P("/boot/efi/EFI/debian/grubx64.efi"): False},
    )
    assert [each.path for each in efi.unread] == ["/boot/efi/EFI/debian/odd.efi"]
    assert BootLoader(MemoryGuest()).efi is None


def test_a_folder_of_very_many_efi_programs_is_looked_at_in_part_and_that_is_said() -> None:
    guest = MemoryGuest(mounts=(Mount("/dev/sda1", "/efi", "vfat"),))
    for number in range(300):
        guest.file(f"/efi/EFI/x/{number:03}.efi", b"MZ")
    efi = BootLoader(guest).efi
    assert efi is not None
    assert len(efi.programs) == 256
    assert [each.reason for each in efi.unread] == ["300 programs, of which 256 were looked at"]
