"""Text made to keep a parser busy, or to fill the memory: each gives an answer or one clear error.

The inputs of some seconds took the code before minutes to years: no limit here is one of speed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guestrepair.errors import FormatError
from guestrepair.formats import (
    apkdb,
    bootloader,
    crypttab,
    deb822,
    dpkg_alternatives,
    dpkg_config,
    dpkg_lists,
    file_contexts,
    hosts_access,
    initramfs,
    ldso,
    modules,
    pacmandb,
    pam,
    passwd,
    sudoers,
    systemd_unit,
    sysusers,
    tmpfiles,
    yum_repo,
)
from guestrepair.formats.sshd_config.tokens import Arguments, strdelim

MIB = 1024 * 1024
THOROUGH = os.environ.get("GUESTREPAIR_TEST_DEPTH") == "thorough"
SECONDS = 20.0 if THOROUGH else 8.0
MUCH = MIB if THOROUGH else MIB // 4
"""Bytes of what takes linear time, and seconds of it."""


def initramfs_problem(data: bytes) -> str:
    return initramfs.problem(lambda offset, size: data[offset : offset + size], len(data))


def member(name: bytes, size: bytes = b"00000000", name_size: bytes = b"") -> bytes:
    """A member of a cpio archive without content."""
    length = name_size or b"%08x" % len(name)
    header = b"070701" + b"0" * 48 + size + b"0" * 32 + length + b"0" * 8
    return header + name + bytes(-(len(header) + len(name)) % 4)


TRAILER = member(b"TRAILER!!!\0")


# --- headers that lead backwards ------------------------------------------------------------


@pytest.mark.parametrize(
    "number", [b"-000007c", b"+0000010", b"0x000010", b"0000_010", b"      10", b"1234567g"]
)
def test_a_cpio_number_is_eight_hexadecimal_digits(number: bytes) -> None:
    assert initramfs_problem(TRAILER[:54] + number + TRAILER[62:]) == "a cpio header in it is damaged"
    assert initramfs_problem(TRAILER[:94] + number + TRAILER[102:]) == "a cpio header in it is damaged"


def test_archives_in_a_row_are_walked_as_far_as_a_real_image_goes() -> None:
    assert initramfs_problem(TRAILER * 1000) == ""
    with pytest.raises(FormatError, match="not all of them were looked at"):
        initramfs_problem(TRAILER * 600_000)


def test_an_image_of_nothing_is_read_as_far_as_a_real_image_goes() -> None:
    with pytest.raises(FormatError, match="not all of them were looked at"):
        initramfs.problem(lambda _offset, size: bytes(size), 1 << 50)


# --- linear time -------------------------------------------------------------------------------


def repositories(data: bytes) -> object:
    return yum_repo.parse_repositories(data, {"a": "b" * 4096})


def path_filter(data: bytes) -> object:
    return dpkg_config.parse_path_filter([data])


def old_arguments(data: bytes) -> object:
    """As sshd took the arguments of a line before 8.7."""
    return Arguments(data.decode("latin-1"), None).all_left()


BLANKS = b" " * MIB
APPEND = b"append " + b"a " * 30_000
OPTIONS = b"".join(b"a%d=\n" % n for n in range(60_000))


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        pytest.param(sudoers.parse, b"root ALL=" + b"A" * (MIB - 20), id="sudoers tags"),
        pytest.param(sudoers.parse, b"#include a" + BLANKS[:-20] + b"b", id="sudoers include"),
        pytest.param(sudoers.parse, b"a\\\n" * (MUCH // 3), id="sudoers continuation"),
        pytest.param(bootloader.parse_bls_entry, b"a b" + BLANKS + b"c", id="loader entry"),
        pytest.param(bootloader.parse_extlinux, APPEND + b"\nlabel a\nlinux b" * (MUCH // 180), id="append"),
        pytest.param(hosts_access.parse_hosts_access, b"[" + b":" * MIB + b"]", id="hosts.deny"),
        pytest.param(deb822.parse_deb822, b"a: b\n" + b" c\n" * 2 * MUCH, id="status continuation"),
        pytest.param(path_filter, b"path-exclude=a" + BLANKS + b"b", id="dpkg.cfg"),
        pytest.param(path_filter, b"".join(b"path-exclude=/%d*?*b\n" % n for n in range(99_999)), id="globs"),
        pytest.param(old_arguments, b"a " * 2 * MUCH, id="sshd_config before 8.7"),
        pytest.param(repositories, b"[a]\nb" + BLANKS[:-99] + b"c\n", id="repository blanks"),
        pytest.param(repositories, b"[a]\n" + b"b\n" * (MIB // 2), id="repository"),
        pytest.param(
            repositories,
            b"[DEFAULT]\n" + OPTIONS + b"".join(b"[%d]\n" % n for n in range(900)),
            id="repository defaults",
        ),
        pytest.param(
            pacmandb.parse_mtree,
            b"/set " + OPTIONS.replace(b"\n", b" ") + b"\n./a\n" * 100_000,
            id="mtree defaults",
        ),
    ],
)  # fmt: skip
def test_it_takes_time_by_its_length(parse: Callable[[bytes], object], data: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(FormatError):
        parse(data)
    assert time.process_time() - started < SECONDS


def strdelim_by_rests(text: str) -> tuple[str | None, str | None]:
    """OpenSSH's strdelim() as misc.c words it: the token and a copy of what remains."""
    index = next((i for i, char in enumerate(text) if char in ' \t\r\n"='), None)
    if index is None:
        return text, None
    if text[index] == '"':
        text = text[:index] + text[index + 1 :]
        end = text.find('"', index)
        return (None, None) if end < 0 else (text[:end], text[end + 1 :].lstrip(" \t\r\n"))
    rest = text[index + 1 :].lstrip(" \t\r\n")
    if text[index] != "=" and rest.startswith("="):
        rest = rest[1:].lstrip(" \t\r\n")
    return text[:index], rest


@given(text=st.text(alphabet='ab"= \t', max_size=40))
@example('a "b c" = d="e"f ==g\t"h')
def test_a_line_is_taken_apart_as_strdelim_does_it(text: str) -> None:
    arguments = Arguments(text, None)
    left: str | None = text
    while left is not None:
        assert arguments.following() == left
        assert strdelim(left) == strdelim_by_rests(left)
        token, left = strdelim_by_rests(left)
        assert arguments.peek() == token
        assert arguments.next() == token
    assert arguments.next() is None


# --- bounded counts ------------------------------------------------------------------------------


def alternative(data: bytes) -> object:
    return dpkg_alternatives.parse_alternative("a", data)


def stanzas(data: bytes) -> object:
    problems = deb822.parse_deb822(data).problems
    raise FormatError(problems[-1].reason)


@pytest.mark.parametrize(
    ("parse", "data"),
    [
        pytest.param(sudoers.parse, b"x\n" * 30_000, id="sudoers"),
        pytest.param(ldso.parse_ld_so_conf, b"/a\n" * 10_000, id="ld.so.conf"),
        pytest.param(ldso.parse_ld_so_conf, b"include " + b"a " * 10_000, id="ld.so.conf includes"),
        pytest.param(ldso.parse_preload, b"a " * 10_000, id="ld.so.preload"),
        pytest.param(apkdb.parse_apk_installed, b"P:a\n\n" * 60_000, id="apk"),
        pytest.param(pacmandb.parse_desc, b"a\n" * 400_000, id="desc"),
        pytest.param(pacmandb.parse_mtree, b"./a\n" * 400_000, id="mtree"),
        pytest.param(stanzas, b"a: b\n\n" * 300_000, id="status"),
        pytest.param(lambda d: dpkg_lists.parse_conffiles(d.decode()), b" /a 1\n" * 30_000, id="conffiles"),
        pytest.param(dpkg_lists.parse_diversions, b"/a\n/b\n:\n" * 200_000, id="diversions"),
        pytest.param(dpkg_lists.parse_statoverride, b"a b 1 /c\n" * 200_000, id="statoverride"),
        pytest.param(alternative, b"auto\n" * 50_000, id="alternatives"),
        pytest.param(hosts_access.parse_hosts_access, b"a:b\n" * 300_000, id="hosts.deny"),
        pytest.param(crypttab.parse, b"a b\n" * 2_000, id="crypttab"),
        pytest.param(file_contexts.parse_file_contexts, b"/a b\n" * 200_000, id="file_contexts"),
        pytest.param(modules.parse_modprobe_conf, b"blacklist a\n" * 300_000, id="modprobe.d"),
        pytest.param(
            modules.parse_modules_builtin, b"".join(b"%d.ko\n" % n for n in range(300_000)), id="builtin"
        ),
        pytest.param(pam.parse_pam, b"a\n" * 50_000, id="pam.d"),
        pytest.param(passwd.parse_passwd, b"a\n" * 300_000, id="passwd"),
        pytest.param(systemd_unit.parse_unit, b"[a]\n" + b"b=\n" * 50_000, id="unit"),
        pytest.param(sysusers.parse_sysusers, b"u a\n" * 100_000, id="sysusers.d"),
        pytest.param(tmpfiles.parse_tmpfiles, b"d /a\n" * 100_000, id="tmpfiles.d"),
        pytest.param(bootloader.parse_grub_cfg, b"a " * 500_000, id="grub.cfg"),
        pytest.param(bootloader.parse_extlinux, b"a b\n" * 30_000, id="extlinux"),
        pytest.param(bootloader.parse_extlinux, b"label a\ninitrd " + b"a," * 1_000, id="initrds"),
        pytest.param(bootloader.parse_bls_entry, b"options a b c d\n" * 10_000, id="options"),
        pytest.param(repositories, b"[a]\nb=1\n" * 20_000, id="repositories"),
        pytest.param(repositories, b"[a]\nbaseurl=" + b"$a" * 500, id="variables"),
    ],
)  # fmt: skip
def test_more_than_anybody_has_is_said(parse: Callable[[bytes], object], data: bytes) -> None:
    with pytest.raises(FormatError, match=r"more than|too many|variables"):
        parse(data)


def test_variables_that_are_filled_in_cannot_grow_without_bound() -> None:
    entry = bootloader.parse_bls_entry(b"options " + b"$a " * 20_000)
    with pytest.raises(FormatError, match="grows without bound"):
        bootloader.with_variables(entry, {"a": "b " * 30_000})


def test_a_policy_line_costs_what_it_takes_to_try_it() -> None:
    """100,000 expressions that could all match: those beyond the budget are not compiled."""
    lines = b"".join(b"/etc/(a|b%d)?.* x:y:z\n" % n for n in range(90_000))
    policy = file_contexts.parse_file_contexts(lines)
    started = time.process_time()
    file_contexts.lookup(policy, "/etc/a", 0o100644)
    assert time.process_time() - started < SECONDS
