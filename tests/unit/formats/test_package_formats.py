"""The parsers of package databases and of what the loader and SELinux read."""

from __future__ import annotations

import stat
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.errors import FormatError
from guestrepair.formats import capabilities, dpkg_lists
from guestrepair.formats.apkdb import parse_apk_installed
from guestrepair.formats.deb822 import parse_deb822
from guestrepair.formats.dpkg_alternatives import parse_alternative
from guestrepair.formats.dpkg_config import parse_path_filter
from guestrepair.formats.elf import is_elf, parse_elf
from guestrepair.formats.file_contexts import lookup, parse_file_contexts, parse_substitutions
from guestrepair.formats.ldso import parse_ld_so_conf, parse_preload
from guestrepair.formats.pacmandb import parse_desc, parse_mtree

CONTEXTS = rb"""
/.*	system_u:object_r:default_t:s0
/usr/(.*/)?bin(/.*)?	system_u:object_r:bin_t:s0
/usr/bin/passwd	--	system_u:object_r:passwd_exec_t:s0
/usr/lib(/.*)?	system_u:object_r:lib_t:s0
/proc/.*	<<none>>
/etc/ssh/ssh_host.*_key	--	system_u:object_r:sshd_key_t:s0
/evil((a+)+)+b	system_u:object_r:evil_t:s0
"""


@given(st.binary(max_size=400))
def test_parsers_take_any_bytes(data: bytes) -> None:
    parse_deb822(data)
    tuple(dpkg_lists.parse_list(data))
    dpkg_lists.parse_md5sums(data)
    dpkg_lists.list_problem(data)
    parse_path_filter([data])
    parse_ld_so_conf(data)
    parse_preload(data)
    parse_desc(data)
    parse_mtree(data)
    parse_apk_installed(data)
    lookup(parse_file_contexts(data), "/usr/bin/x", stat.S_IFREG, parse_substitutions(data))


@given(st.binary(max_size=300))
def test_strict_parsers_raise_only_format_errors(data: bytes) -> None:
    for parse in (
        dpkg_lists.parse_diversions,
        dpkg_lists.parse_statoverride,
        capabilities.parse_xattr,
        parse_elf,
        lambda raw: parse_alternative("x", raw),
        lambda raw: parse_elf(b"\x7fELF\x02\x01" + raw),
        lambda raw: parse_elf(b"\x7fELF\x01\x02" + raw),
    ):
        try:
            parse(data)
        except FormatError as error:
            assert error.message  # noqa: PT017 - any outcome but another exception is right


@given(st.text(max_size=60))
def test_capability_text_raises_only_format_errors(text: str) -> None:
    try:
        parsed = capabilities.parse_text(text)
    except FormatError:
        return
    assert capabilities.parse_xattr(capabilities.format_xattr(parsed)).permitted == parsed.permitted


@pytest.mark.parametrize(
    ("text", "xattr"),
    [
        ("cap_net_raw=ep", "0100000200200000000000000000000000000000"),
        ("cap_net_raw+ep", "0100000200200000000000000000000000000000"),
        ("= cap_net_raw+ep", "0100000200200000000000000000000000000000"),
        ("cap_net_admin,cap_net_raw=p", "0000000200300000000000000000000000000000"),
        ("", ""),
    ],
)
def test_capabilities_as_setcap_writes_them(text: str, xattr: str) -> None:
    # The first value is what setcap of Debian 12 writes for /bin/ping.
    assert capabilities.format_xattr(capabilities.parse_text(text)).hex() == xattr


def test_capabilities_text_round_trip() -> None:
    parsed = capabilities.parse_text("cap_setuid,cap_setgid=ep")
    assert capabilities.parse_text(capabilities.format_text(parsed)) == parsed


def test_version_three_capabilities_carry_a_root_id() -> None:
    raw = struct.pack("<IIIIII", 0x03000001, 1 << 13, 0, 0, 0, 100000)
    assert capabilities.parse_xattr(raw).root_id == 100000
    assert capabilities.format_xattr(capabilities.parse_xattr(raw)) == raw


def test_stanzas_around_a_damaged_line_are_kept() -> None:
    document = parse_deb822(
        b"Package: a\nVersion: 1\n\n\0\0\0\nPackage: b\nConffiles:\n /etc/x 1\n /etc/y 2\n"
    )
    assert [s.get("Package") for s in document.stanzas] == ["a", "b"]
    assert document.stanzas[1].get("conffiles").split("\n")[1:] == ["/etc/x 1", "/etc/y 2"]
    assert document.problems[0].line == 4


def test_a_stanza_cut_off_is_told() -> None:
    assert parse_deb822(b"Package: a\nVers").problems


def test_conffiles_that_no_longer_ship_are_left_out() -> None:
    digest = "d41d8cd98f00b204e9800998ecf8427e"
    field = f"\n/etc/a {digest}\n/etc/b {digest} obsolete\n/etc/c newconffile"
    assert dpkg_lists.parse_conffiles(field) == {"/etc/a": digest, "/etc/c": ""}


def test_diversions_and_overrides() -> None:
    found = dpkg_lists.parse_diversions(b"/bin/sh\n/bin/sh.distrib\ndash\n/a\n/b\n:\n")
    assert found["/bin/sh"].package == "dash"
    assert not found["/a"].package
    override = dpkg_lists.parse_statoverride(b"root #33 2755 /usr/bin/with space\n")["/usr/bin/with space"]
    assert (override.owner, override.group, override.mode) == ("root", "33", 0o2755)
    with pytest.raises(FormatError):
        dpkg_lists.parse_diversions(b"/a\n/b\n")


def test_the_last_path_filter_that_matches_decides() -> None:
    filters = parse_path_filter([b"path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n"])
    assert filters.excludes("/usr/share/doc/sudo/README")
    assert not filters.excludes("/usr/share/doc/sudo/copyright")
    assert not filters.excludes("/usr/bin/sudo")


def test_alternatives_are_ordered_by_priority() -> None:
    found = parse_alternative(
        "awk",
        b"auto\n/usr/bin/awk\nawk.1.gz\n/m/awk.1.gz\n\n/usr/bin/mawk\n5\n/m/mawk.1.gz\n/usr/bin/gawk\n10\n/m/g\n\n",
    )
    assert [c.path for c in found.candidates] == ["/usr/bin/gawk", "/usr/bin/mawk"]
    assert [(slave.name, slave.link) for slave in found.slaves] == [("awk.1.gz", "/m/awk.1.gz")]
    assert [c.slaves for c in found.candidates] == [("/m/g",), ("/m/mawk.1.gz",)]


def test_elf_headers_agree_with_a_program_of_this_host() -> None:
    data = Path("/bin/sh").resolve().read_bytes()
    assert is_elf(data)
    found = parse_elf(data)
    assert found.interpreter.startswith("/lib")
    assert any(name.startswith("libc.so") for name in found.needed)
    with pytest.raises(FormatError):
        parse_elf(data[:100])


def test_ld_so_conf_and_preload() -> None:
    lines = parse_ld_so_conf(
        b"# c\ninclude ld.so.conf.d/*.conf\n/opt/lib # own\nhwcap 1 nosegneg\nrelative\n"
    )
    assert [(line.value, line.is_include) for line in lines] == [
        ("ld.so.conf.d/*.conf", True),
        ("/opt/lib", False),
    ]
    assert [(p.number, p.name) for p in parse_preload(b"/a.so:/b.so\n#/c.so\n/d.so\n")] == [
        (1, "/a.so"),
        (1, "/b.so"),
        (3, "/d.so"),
    ]


@pytest.mark.parametrize(
    ("path", "mode", "label"),
    [
        ("/usr/bin/passwd", stat.S_IFREG, "system_u:object_r:passwd_exec_t:s0"),
        ("/usr/bin/ls", stat.S_IFREG, "system_u:object_r:bin_t:s0"),
        ("/usr/lib/libc.so.6", stat.S_IFREG, "system_u:object_r:lib_t:s0"),
        ("/etc/ssh/ssh_host_rsa_key", stat.S_IFREG, "system_u:object_r:sshd_key_t:s0"),
        ("/etc/ssh/ssh_host_rsa_key", stat.S_IFDIR, "system_u:object_r:default_t:s0"),
        ("/proc/1", stat.S_IFDIR, ""),
        ("/evil" + "a" * 4000, stat.S_IFREG, "system_u:object_r:default_t:s0"),
        ("/lib64/libc.so.6", stat.S_IFREG, "system_u:object_r:lib_t:s0"),
    ],
)
def test_labels(path: str, mode: int, label: str) -> None:
    substitutions = parse_substitutions(b"/lib64 /usr/lib\n")
    assert lookup(parse_file_contexts(CONTEXTS), path, mode, substitutions) == label


def test_apk_and_pacman_samples() -> None:
    data = (
        b"C:Q1abc\nP:busybox\nV:1.36.1-r5\nA:x86_64\nF:bin\nM:0:0:755\nR:busybox\na:0:0:755\n"
        b"Z:Q1ZjSoBmXsS3rPKk6ZuCvUKnIZbhs=\nF:etc\nR:securetty\n\n"
    )
    (package,), problems = parse_apk_installed(data)
    assert not problems
    assert [f.path for f in package.files] == ["/bin", "/bin/busybox", "/etc", "/etc/securetty"]
    assert package.files[1].mode == 0o755
    mtree = parse_mtree(
        b"#mtree\n/set type=file uid=0 gid=0 mode=644\n./usr time=1.0 mode=755 type=dir\n"
        b"./usr/bin/a\\040b time=2.5 mode=4755 size=3 sha256digest=AB\n./usr/bin/l type=link link=a\n"
    )
    assert mtree["/usr/bin/a b"].mode == 0o4755
    assert mtree["/usr/bin/a b"].digest == "sha256:ab"
    assert mtree["/usr/bin/l"].link == "a"
