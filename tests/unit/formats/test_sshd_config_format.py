"""sshd_config by release: what changed between releases, and what any bytes do.

What Debian 12's sshd makes of several hundred configurations is tests/oracle's business.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.formats.sshd_config import Config, Verdict, parse
from guestrepair.formats.sshd_config.numbers import address_list_is_valid, scaled, seconds
from guestrepair.formats.sshd_config.parse import logical_lines
from guestrepair.formats.sshd_config.settings import Settings
from guestrepair.formats.sshd_config.tokens import argv_split, strdelim


class Files:
    """Included files by path; globs are plain names here."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = files or {}

    def glob(self, pattern: str) -> Sequence[str]:
        return [pattern] if pattern in self.files else []

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)


def read(
    text: str | bytes,
    release: tuple[int, int] = (9, 2),
    family: str = "",
    words: frozenset[str] = frozenset(),
    files: dict[str, bytes] | None = None,
) -> Config:
    data = text.encode("latin-1") if isinstance(text, str) else text
    return parse("/c", data, Files(files), release=release, family=family, known_words=words)


@pytest.mark.parametrize(
    ("line", "release", "good"),
    [
        ("RSAAuthentication yes", (7, 3), True),
        ("RSAAuthentication nonsense", (7, 3), False),
        ("RSAAuthentication nonsense", (7, 4), True),
        ("UsePrivilegeSeparation bogus", (7, 4), False),
        ("UsePrivilegeSeparation bogus", (8, 0), True),
        ("Include /x", (8, 1), False),
        ("Include /x", (8, 2), True),
        ("RequiredRSASize 1024", (7, 9), False),
        ("PerSourcePenalties crash:90 overflow:permissive", (9, 8), True),
        ("PerSourcePenalties crash:soon", (9, 8), False),
        ("PerSourcePenalties crash:90", (9, 7), False),
        ("SshdAuthPath /x", (10, 0), True),
        ("SshdAuthPath /x", (9, 9), False),
        ("RefuseConnection yes", (9, 9), True),
        ("UsePAM YES", (7, 6), False),
        ("UsePAM YES", (7, 7), True),
        ("MaxAuthTries six", (7, 6), True),
        ("MaxAuthTries six", (7, 7), False),
        ("Port 22 # comment", (8, 6), False),
        ("Port 22 # comment", (8, 7), True),
        ("AllowUsers", (8, 6), True),
        ("AllowUsers", (8, 7), False),
        ("AllowUsers # nobody", (9, 6), True),
        ("AllowUsers # nobody", (9, 7), False),
        ("Ciphers arcfour", (7, 5), True),
        ("Ciphers arcfour", (7, 6), False),
        ("HostKeyAlgorithms ssh-dss", (9, 9), True),
        ("HostKeyAlgorithms ssh-dss", (10, 0), False),
        ("PermitRootLogin prohibit-password", (6, 9), False),
        ("Match invalid-user", (9, 8), False),
        ("Match invalid-user", (9, 9), True),
        ("Match user=ann", (9, 9), True),
        ("Match all", (6, 1), False),
        ("Protocol 2,1", (7, 3), True),
        ("Protocol 7", (7, 3), False),
        ("ServerKeyBits many", (7, 4), True),
    ],
)
def test_releases_differ(line: str, release: tuple[int, int], *, good: bool) -> None:
    assert (not read(line + "\n", release).problems) is good


@pytest.mark.parametrize(
    ("line", "family", "good"),
    [
        ("DebianBanner no", "debian", True),
        ("DebianBanner no", "rhel", False),
        ("RSAMinSize 2048", "rhel", True),
        ("RSAMinSize 2048", "ubuntu", False),
        ("GSSAPIKeyExchange yes", "fedora", True),
        ("GSSAPIKeyExchange yes", "", True),
    ],
)
def test_vendors_differ(line: str, family: str, *, good: bool) -> None:
    assert (not read(line + "\n", family=family).problems) is good


def test_red_hat_took_a_keyword_before_upstream_had_it() -> None:
    assert read("RequiredRSASize 2048\n", (8, 7), "rhel").problems == ()
    assert read("RequiredRSASize 2048\n", (8, 4), "debian").problems != ()


def test_what_the_binary_knows_is_taken() -> None:
    assert read("SshdAuthPath /x\n", (9, 9), words=frozenset({"sshdauthpath"})).problems == ()
    assert read("Ciphers new-cipher@x\n", words=frozenset({"new-cipher@x"})).problems == ()
    assert read("Ciphers none\n", words=frozenset({"none"})).problems != ()
    assert read("Password yes\n", words=frozenset({"password"})).problems != ()


def test_every_bad_line_is_named_even_after_one_that_ends_sshd() -> None:
    config = read("Foo 1\n# fine\nPort x\nUsePAM maybe\n  X11Forwarding no\n")
    assert [(p.place.line, p.place.offset_bytes, p.fatal) for p in config.problems] == [
        (1, 0, False),
        (3, 13, True),
        (4, 20, True),
    ]
    assert "Bad configuration option: Foo" in config.problems[0].message


def test_a_bad_match_line_keeps_its_block_out_of_the_global_part() -> None:
    config = read("Match Usr x\nX11Forwarding no\nPasswordAuthentication no\n")
    assert [p.place.line for p in config.problems] == [1]
    assert Settings(config).first("passwordauthentication") is None


def test_includes_keep_file_and_line_and_do_not_leak_their_match() -> None:
    files = {"/etc/ssh/a.conf": b"Match User x\nX11Forwarding no\n", "/b": b"\nPort x\n"}
    config = read("Include a.conf /b /nonexistent\nUsePAM yes\n", files=files)
    assert [(p.place.file, p.place.line) for p in config.problems] == [("/b", 2)]
    assert list(config.files) == ["/c", "/etc/ssh/a.conf", "/b"]
    assert Settings(config).is_on("usepam", default=False)
    assert Settings(config).first("x11forwarding") is None


def test_an_include_of_itself_ends_as_sshd_ends() -> None:
    config = read("Include /c\n", files={"/c": b"Include /c\n"})
    assert config.problems[-1].message == "Too many recursive configuration includes"


def test_what_applies_to_whom() -> None:
    config = read(
        "PasswordAuthentication no\nAllowUsers ann bob\n"
        "Match User ann\nPasswordAuthentication yes\nAllowUsers carl\n"
        "Match Address 10.0.0.0/8\nPermitRootLogin yes\n"
        "Match Group wheel,!guests\nX11Forwarding yes\n"
    )
    settings = Settings(config)
    none: frozenset[str] = frozenset()

    def texts(name: str, user: str, groups: frozenset[str] = none) -> list[tuple[str, bool]]:
        return [(v.text, v.certain) for v in settings.for_account(name, user, groups)]

    assert texts("passwordauthentication", "ann") == [("yes", True)]
    assert texts("passwordauthentication", "bob") == [("no", True)]
    assert texts("permitrootlogin", "root") == [("yes", False)]
    assert texts("x11forwarding", "x", frozenset({"wheel"})) == [("yes", True)]
    assert texts("x11forwarding", "x", frozenset({"wheel", "guests"})) == []
    assert [v.directive.args for v in settings.for_account("allowusers", "ann", none)] == [
        ("carl",),
        ("ann", "bob"),
    ]


def test_conditions_that_depend_on_the_network_are_open() -> None:
    (directive,) = read("Match User ann Host *.example\nX11Forwarding no\n").directives
    assert [c.verdict("ann", frozenset()) for c in directive.conditions] == [Verdict.MAYBE]
    assert [c.verdict("bob", frozenset()) for c in directive.conditions] == [Verdict.NO]


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("2m", 120), ("1h30", 3630), ("1y", None), ("", None), ("-1", None), ("9" * 30, None)],
)
def test_times(text: str, value: int | None) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("16", 16), ("1K", 1024), ("2g", 2 << 30), ("1KB", None), ("x", None)]
)
def test_sizes(text: str, value: int | None) -> None:
    assert scaled(text) == value


@pytest.mark.parametrize(
    ("text", "good"),
    [("10.0.0.0/8", True), ("10.0.0.1/8", False), ("*.x,!y", True), ("a,,b", False), ("::/0", True)],
)
def test_address_lists(text: str, *, good: bool) -> None:
    assert address_list_is_valid(text) is good


def test_logical_lines_join_at_nul_bytes() -> None:
    assert logical_lines(b" Port 22\0x\nFoo\n\tBar") == [(0, "Port 22Foo"), (15, "Bar")]


@given(st.text(max_size=80))
def test_splitters_take_any_text(text: str) -> None:
    words = argv_split(text)
    assert words is None or all(isinstance(word, str) for word in words)
    rest: str | None = text
    for _ in range(len(text) + 2):
        _, rest = strdelim(rest)
    assert rest is None or rest == ""


LINES = st.lists(
    st.tuples(
        st.sampled_from(
            ["Port", "Match", "AllowUsers", "Ciphers", "RekeyLimit", "Include", "PermitOpen", "IPQoS", "Foo"]
        ),
        st.text("abz019 \"'=#,:/*!.@-+^\\", max_size=20),
    ).map(" ".join),
    max_size=8,
).map("\n".join)


@given(LINES | st.text(max_size=200), st.sampled_from([(5, 3), (7, 4), (8, 6), (9, 2), (10, 2)]))
def test_any_text_parses_in_every_release(text: str, release: tuple[int, int]) -> None:
    data = text.encode("utf-8", "surrogatepass")
    config = parse("/c", data, Files(), release=release)
    lines = [p.place.line for p in config.problems]
    assert lines == sorted(lines)
    assert all(1 <= line <= data.count(b"\n") + 1 for line in lines)
    list(Settings(config).cross_problems())


@given(st.binary(max_size=300))
def test_any_bytes_parse(data: bytes) -> None:
    assert read(data).files == {"/c": data}
