"""Boot loader configurations: entries, searches, defaults, and the place of every value."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import FormatError
from guestrepair.formats import bootloader

UUID = b"aaaaaaaa-1111-2222-3333-444444444444"
GRUB_CFG = (
    b"""set default="0"
if [ "${next_entry}" ] ; then
   set default="${next_entry}"
fi
function load_video {
  insmod all_video
}
search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt3 """
    + UUID
    + b"""
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	search --no-floppy --fs-uuid --set=root """
    + UUID
    + b"""
	linux	/boot/vmlinuz-6.1 root=UUID="""
    + UUID
    + b""" ro quiet "foo=a b"
	initrd	/boot/intel-ucode.img /boot/initrd.img-6.1
}
submenu 'Advanced' {
	menuentry 'Debian, recovery' --id=rec { linux /boot/vmlinuz-6.1 root=/dev/sda3 single
		initrd /boot/initrd.img-6.1 }
}
source ${config_directory}/custom.cfg
"""
)


def test_grub_cfg() -> None:
    config = bootloader.parse_grub_cfg(GRUB_CFG)
    first, second = config.entries
    assert (first.title, first.identifier, first.line) == ("Debian GNU/Linux", "gnulinux-simple", 9)
    assert first.kernel is not None
    assert first.kernel.text == "/boot/vmlinuz-6.1"
    assert [w.text for w in first.initrds] == ["/boot/intel-ucode.img", "/boot/initrd.img-6.1"]
    assert first.root is not None
    start = first.root.value_offset
    assert GRUB_CFG[start : start + first.root.value_length] == b"UUID=" + UUID
    assert first.cmdline.get("foo") == "a b"
    assert (second.title, second.identifier, second.parents) == ("Debian, recovery", "rec", ("Advanced",))
    assert second.cmdline.root == "/dev/sda3"
    assert [s.value.text for s in config.all_searches()] == [UUID.decode()] * 2
    assert config.default is not None
    assert config.default.text == "0"
    assert [w.text for w in config.includes] == ["${config_directory}/custom.cfg"]


def test_a_search_with_its_variable_set_apart() -> None:
    config = bootloader.parse_grub_cfg(b"search.fs_uuid abcd root hd0,gpt2\nset prefix=($root)'/boot/grub'\n")
    assert [(s.by, s.value.text) for s in config.searches] == [("fs-uuid", "abcd")]


def test_an_unclosed_quote_is_an_error() -> None:
    with pytest.raises(FormatError, match="line 2"):
        bootloader.parse_grub_cfg(b"set a=b\nmenuentry 'x {\n")


def test_default_grub() -> None:
    data = b'# x\nGRUB_DEFAULT=saved\nGRUB_CMDLINE_LINUX="root=UUID=x quiet"\nexport A=b\nB+=" c"\n'
    found = {a.name: a for a in bootloader.parse_default_grub(data)}
    line = found["GRUB_CMDLINE_LINUX"]
    assert line.value.text == "root=UUID=x quiet"
    assert data[line.value.offset : line.value.offset + line.value.length] == b"root=UUID=x quiet"
    assert line.line == 3
    assert found["A"].value.text == "b"
    assert found["B"].appends


def test_bls_entry_and_its_variables() -> None:
    data = (
        b"title Fedora 40\nversion 6.8\nlinux /vmlinuz-6.8\n"
        b"initrd /initrd-6.8 $tuned_initrd\noptions $kernelopts x=1\n"
    )
    entry = bootloader.parse_bls_entry(data, identifier="abc-6.8")
    assert (entry.title, entry.version, entry.identifier) == ("Fedora 40", "6.8", "abc-6.8")
    assert entry.uses_variables
    full = bootloader.with_variables(entry, {"kernelopts": "root=UUID=q ro"})
    assert full.cmdline.root == "UUID=q"
    assert full.cmdline.get("x") == "1"


def test_grub_environment() -> None:
    data = b"# GRUB Environment Block\nsaved_entry=abc\nkernelopts=root=UUID=q ro \n" + b"#" * 50
    found = bootloader.parse_environment(data)
    assert found["kernelopts"].text == "root=UUID=q ro "
    word = found["saved_entry"]
    assert data[word.offset : word.offset + word.length] == b"abc"


def test_extlinux() -> None:
    data = (
        b"DEFAULT virt\nPROMPT 0\nLABEL virt\n  MENU LABEL Alpine virt\n  LINUX vmlinuz-virt\n"
        b"  INITRD initramfs-virt\n  APPEND root=UUID=ab modules=ext4 quiet\n"
        b"label old\nkernel k\nappend initrd=a,b\n"
    )
    config = bootloader.parse_extlinux(data)
    first, second = config.entries
    assert (first.title, first.identifier) == ("Alpine virt", "virt")
    assert first.root is not None
    assert data[first.root.value_offset : first.root.value_offset + first.root.value_length] == b"UUID=ab"
    assert [w.text for w in second.initrds] == ["a", "b"]
    assert config.default is not None
    assert config.default.text == "virt"


def test_kernel_install_and_loader_conf() -> None:
    assert bootloader.parse_cmdline_file(b"root=UUID=a ro\nquiet\n").get("quiet") == ""
    default = bootloader.parse_loader_conf(b"timeout 3\ndefault fedora-*\n").default
    assert default is not None
    assert default.text == "fedora-*"


def test_nesting_without_end_is_followed() -> None:
    config = bootloader.parse_grub_cfg(b"submenu a { " * 5_000 + b"menuentry b { linux /k root=x\n}\n")
    assert [e.title for e in config.entries] == ["b"]


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    for parse in (
        bootloader.parse_grub_cfg,
        bootloader.parse_default_grub,
        bootloader.parse_bls_entry,
        bootloader.parse_extlinux,
        bootloader.parse_environment,
        bootloader.parse_loader_conf,
    ):
        with contextlib.suppress(FormatError):
            parse(data)


@given(
    st.lists(
        st.sampled_from([b"menuentry", b"'a b'", b"{", b"}", b"linux", b"/k", b"root=x", b"\n", b";", b'"']),
        max_size=30,
    )
)
def test_any_script(words: list[bytes]) -> None:
    data = b" ".join(words)
    with contextlib.suppress(FormatError):
        for entry in bootloader.parse_grub_cfg(data).entries:
            root = entry.root
            if root is not None and root.value:
                assert data[root.value_offset : root.value_offset + root.value_length] == b"x"


def test_grub_legacy_with_its_blanks_and_signs() -> None:
    data = (
        b"default = 1\ntitle=A\n kernel=(hd0,0)/v --quiet root=/dev/sda1 ro\n\tinitrd\t/i\r\n"
        b"title B\n kernel --no-mem-option /w\n#kernel /no\n"
    )
    config = bootloader.parse_grub_legacy(data)
    assert config.default is not None
    assert data[config.default.offset :][: config.default.length] == b"1"
    first, second = config.entries
    assert (first.title, first.line, [w.text for w in first.initrds]) == ("A", 2, ["/i"])
    assert first.kernel is not None
    assert first.kernel.text == "(hd0,0)/v"
    assert [p.name for p in first.cmdline.parameters] == ["--quiet", "root", "ro"]
    assert data[first.cmdline_offset :][: first.cmdline_length] == b"--quiet root=/dev/sda1 ro"
    assert second.kernel is not None
    assert (second.kernel.text, second.cmdline.parameters) == ("/w", ())
