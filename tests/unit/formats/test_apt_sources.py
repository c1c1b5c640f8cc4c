"""Lists of repositories: only plain http and https are taken, after quotes and ``%XX`` are undone."""

from __future__ import annotations

import time

import pytest

from guestrepair.errors import FormatError
from guestrepair.formats.apt_sources import (
    parse_list,
    parse_mirror_list,
    parse_sources,
)
from guestrepair.formats.web_address import web_address
from guestrepair.formats.yum_repo import parse_repositories

KEY = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQENBF=\n -----END PGP PUBLIC KEY BLOCK-----"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("http://archive.example/debian", "archive.example"),
        ("HTTPS://Mirror.Internal:8443/x/?a=b", "mirror.internal:8443"),
        ("http://user:pass@10.0.0.1/", "10.0.0.1"),
        ("http://[fe80::1]:80/", "[fe80::1]:80"),
        ("https://h", "h"),
    ],
)
def test_an_address_of_the_web_shows_its_host_and_no_password(text: str, host: str) -> None:
    address = web_address(text)
    assert address is not None
    assert address.host == host
    assert "pass" not in repr(address)
    assert address.url.startswith(("http://", "https://"))


@pytest.mark.parametrize(
    "text",
    [
        "file:/etc", "mirror+file:/etc/passwd", "ftp://h/", "ssh://-oProxyCommand=x/", "http:/h", "http://",
        "http://-oProxyCommand=x/", "http://h/a b", "http://h/\n", "http://h\n", "http://h/\x1b[0m", "http://ä/",
        "http://h\\@g/", "http://h/\u202e", "%66ile:/x", 'http://h/"', "http://h@/", "http://h/" + "a" * 3000,
    ],
)  # fmt: skip
def test_no_other_address_is_taken(text: str) -> None:
    assert web_address(text) is None


@pytest.mark.parametrize(
    "line",
    [
        "deb [trusted=yes] %66ile:/dir ./",
        "deb [trusted=yes] %66%69%6C%65:/dir ./",
        'deb f"il"e:/dir ./',
        'deb "file:/dir" ./',
        "deb %73sh://-oProxyCommand=x/ ./",
        "deb copy:/dir ./",
        'deb "cdrom:[Debian 12]"/ bookworm main',
        "deb ftp://host/ bookworm main",
        "deb mirror://host/list bookworm main",
        "deb tor+http://host/ bookworm main",
        "deb http://host/%0aTrusted: yes main",
        "deb http://host/ bookworm%0aTrusted:%20yes main",
        "deb http://host/ bookworm main%0aTrusted:%20yes",
        'deb "http://host/ bookworm main',
        "deb [arch=amd64 http://host/ bookworm main",
        "deb http://host/ bookworm",
        "deb http://host/ ./ main",
        "deb http://host/",
        "deb [signed-by=/a%0a] http://host/ bookworm main",
        "deb [signed-by=key.gpg] http://host/ bookworm main",
        "deb [arch=AMD/64] http://host/ bookworm main",
        "rpm http://host/ bookworm main",
    ],
)
def test_a_line_that_leads_elsewhere_or_is_not_plain_is_left_out(line: str) -> None:
    found = parse_list(f"# x\n{line}\n".encode())
    assert found.repositories == []
    assert [problem.line for problem in found.left_out] == [2]


def test_a_line_gives_its_fields_and_of_its_options_only_architectures_and_keys() -> None:
    (found,) = parse_list(
        b"deb [ arch=amd64,i386 trusted=yes allow-insecure=yes signed-by=/usr/share/keyrings/a.gpg,"
        b'0123456789ABCDEF! ] %68ttp://"h"/d bookworm/updates main "contrib" # c\n'
    ).repositories
    assert found.address == web_address("http://h/d")
    assert (found.suite, found.components) == ("bookworm/updates", ("main", "contrib"))
    assert found.architectures == ("amd64", "i386")
    assert found.signed_by.files == ("/usr/share/keyrings/a.gpg",)
    assert found.signed_by.fingerprints == ("0123456789ABCDEF!",)


def test_a_stanza_gives_a_repository_for_each_address_and_suite() -> None:
    text = (
        b"# by hand\nTypes: deb deb-src\n#Types: deb-src\nURIs: http://a/ https://b/\n file:/c\n"
        b"Suites: x x-updates\nComponents: main\nTrusted: yes\nSigned-By:\n " + KEY + b"\n\n"
        b"Types: deb\nURIs: http://c/\nSuites: ./\nEnabled: no\n\n"
        b"Types: deb-src\nURIs: http://d/\nSuites: ./\n"
    )
    found = parse_sources(text)
    assert [(r.address.host if r.address else "", r.suite) for r in found.repositories] == [
        ("a", "x"), ("a", "x-updates"), ("b", "x"), ("b", "x-updates"),
    ]  # fmt: skip
    assert [problem.line for problem in found.left_out] == [2, 2]
    key = found.repositories[0].signed_by.key
    assert key.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQENBF=\n-----END")


@pytest.mark.parametrize(
    "value",
    ["key.gpg", "/a.gpg relative", "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n mQ", "/a%b", "\n x\n y"],
)
def test_a_key_that_is_not_understood_leaves_the_repository_out(value: str) -> None:
    """Without its key, any key that the guest trusts would do."""
    text = f"Types: deb\nURIs: http://a/\nSuites: x\nComponents: main\nSigned-By: {value}\n"
    found = parse_sources(text.encode())
    assert (len(found.repositories), len(found.left_out)) == (0, 1)


def test_a_list_of_mirrors_on_the_guests_disk_gives_its_web_addresses() -> None:
    (found,) = parse_list(b"deb mirror+file:/etc/apt/mirrors/debian.list bookworm main\n").repositories
    assert (found.address, found.mirror_file) == (None, "/etc/apt/mirrors/debian.list")
    listed = parse_mirror_list(b"http://a/\tpriority:1\nfile:/etc/\n\n# x\nhttps://b/ x\nroot:x:0:0\n")
    assert [address.host for address in listed] == ["a", "b"]


def test_defaults_and_variables_of_a_repo_file_do_not_multiply() -> None:
    """Each section would hold a copy of the defaults, each variable's place its value."""
    defaults = b"[DEFAULT]\n" + b"".join(b"k%d=v\n" % n for n in range(20_000))
    sections = b"".join(b"[s%d]\n" % n for n in range(20_000))
    variables = b"[v]\nbaseurl=" + b"$a" * 200_000 + b"\n"
    started = time.process_time()
    for hostile in (defaults + sections, variables):
        with pytest.raises(FormatError):
            parse_repositories(hostile, {"a": "x" * 256})
    assert time.process_time() - started < 10
