"""Our reading of authorized_keys against ssh-keygen's and against logins at the host's real sshd."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.formats.authorized_keys import parse_authorized_keys
from guestrepair.formats.key_conversion import converted

SSHD = Path("/usr/sbin/sshd")
RELEASE = (9, 2)
KINDS = (("ed25519", ""), ("rsa", "2048"), ("rsa", "1024"), ("ecdsa", "256"), ("ecdsa", "521"))

PREFIXES = [
    "", " ", "\t", "# ", "no-pty ", "NO-PTY ", "restrict,pty ", 'command="x y" ',
    'command="x \\"y\\" z",no-pty ', 'from="*" ', 'environment="A=b" ', "no-pty  ", "no-pty, ",
    "no-pty,,pty ", ",no-pty ", "no-pty,no-pty ", 'no-pty="x" ', "command ", "unknown ",
    'command="a",command="b" ', 'from="a" from="b" ', '"', "'", "- ", "\ufeff", "AAAA ", "ssh-rsa ",
    'expiry-time="20990101" ', 'expiry-time="2099" ', 'expiry-time="209901011200Z" ', "no-touch-required ",
    'tunnel="1" ', 'principals="a" ', 'principals="a",principals="b" ', "no-restrict ", "pty,",
    "verify-required ",
]  # fmt: skip
FORMS = [
    "{p}{type} {blob}", "{p}{type} {blob} a comment", "{p}{type}\t{blob}\r", "{p}{type}  {blob}", "{p}{blob}",
    "{p}{type}", "{p}{type} {cut}", "{p}{type} {blob}x", "{p}{type} {blob}=", "{p}{type}{blob}",
    "{p}ssh-dss {blob}", "{p}ssh-rsa {blob}", "{p}rsa-sha2-256 {blob}", "{p}RSA {blob}", "{p}ed25519 {blob}",
    "{p}{type} {blob2}",
]  # fmt: skip


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A key of each kind, by name."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("no ssh-keygen on this host (package openssh-client)")
    directory = tmp_path_factory.mktemp("keys")
    made = {}
    for kind, bits in KINDS:
        path = directory / f"{kind}{bits}"
        size = ["-b", bits] if bits else []
        subprocess.run(
            ["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-C", "", "-f", str(path)], check=True
        )
        made[path.name] = path
    return made


def lines_of(public: str) -> Iterator[str]:
    kind, blob = public.split()[:2]
    for prefix, form in itertools.product(PREFIXES, FORMS):
        yield form.format(p=prefix, type=kind, blob=blob, cut=blob[:-9], blob2=f"{blob[:40]} {blob[40:]}")


def seen_by_ssh_keygen(lines: list[str], path: Path) -> int:
    """In how many of these lines ssh-keygen sees a key: it takes each by itself, and passes over others."""
    path.write_text("".join(f"{line}\n" for line in lines))
    done = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], capture_output=True, check=False)
    return len(done.stdout.splitlines())


def test_keys_are_seen_where_ssh_keygen_sees_them(keys: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with_key: list[str] = []
    without: list[str] = []
    for key in keys.values():
        for text in list(lines_of(key.with_suffix(".pub").read_text()))[:: 1 if key.name == "ed25519" else 7]:
            if text.startswith("no-pty  "):
                continue  # sshd passes over two blanks behind the options, ssh-keygen does not
            (line,) = parse_authorized_keys(f"{text}\n".encode(), RELEASE).lines
            about_options = line.reason.startswith(("the option", "an option", "options that", "no time"))
            (with_key if line.key is not None or about_options else without).append(text)
    # A key in every one of the first and in none of the others: no line can make up for another.
    wrong: list[str] = []
    if seen_by_ssh_keygen(with_key, path) != len(with_key):
        wrong += (text for text in with_key if not seen_by_ssh_keygen([text], path))
        assert wrong
    if seen_by_ssh_keygen(without, path):
        wrong += (text for text in without if seen_by_ssh_keygen([text], path))
        assert wrong
    count = len(with_key) + len(without)
    print(f"authorized_keys: {count - len(wrong)} of {count} lines agree with ssh-keygen -l")
    assert not wrong, [(text[:30], text[-12:]) for text in wrong]
    assert min(len(with_key), len(without)) > 100


def test_conversion_of_rfc4716_is_what_ssh_keygen_makes(keys: dict[str, Path], tmp_path: Path) -> None:
    for key in keys.values():
        exported = subprocess.run(
            ["ssh-keygen", "-e", "-f", str(key.with_suffix(".pub"))], capture_output=True, check=True
        ).stdout
        path = tmp_path / key.name
        path.write_bytes(exported)
        imported = subprocess.run(
            ["ssh-keygen", "-i", "-f", str(path)], capture_output=True, check=True
        ).stdout
        made = converted(exported)
        assert made is not None
        assert made.split()[:2] == imported.split()[:2]


@pytest.fixture
def server(keys: dict[str, Path], tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """A real sshd on a port of its own, and the authorized_keys that it reads for root."""
    if not SSHD.exists() or os.geteuid() != 0 or shutil.which("ssh") is None:
        pytest.skip("this needs openssh-server, openssh-client and root")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    authorized = tmp_path / "authorized_keys"
    authorized.write_text("")
    config = tmp_path / "config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {keys['ed25519']}\nAuthorizedKeysFile {authorized}\n"
        "StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nPidFile none\n"
        "KbdInteractiveAuthentication no\nMaxStartups 100\n"
    )
    process = subprocess.Popen([str(SSHD), "-D", "-f", str(config)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(50):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port, authorized
    finally:
        process.terminate()
        process.wait()


def logs_in(port: int, key: Path) -> bool:
    options = textwrap.dedent(
        f"""BatchMode=yes IdentitiesOnly=yes StrictHostKeyChecking=no UserKnownHostsFile=/dev/null
        LogLevel=VERBOSE IdentityFile={key} PreferredAuthentications=publickey"""
    ).split()
    command = [
        "ssh",
        "-F",
        "none",
        "-p",
        str(port),
        *(w for o in options for w in ("-o", o)),
        "root@127.0.0.1",
        "true",
    ]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return b"Authenticated to" in done.stderr


def test_a_real_sshd_lets_in_by_the_lines_that_are_keys(
    keys: dict[str, Path], server: tuple[int, Path]
) -> None:
    port, authorized = server
    key = keys["ed25519"]
    public = key.with_suffix(".pub").read_text()
    probe = f"{public.strip()}\n"
    authorized.write_text(probe)
    if not logs_in(port, key):
        pytest.skip("root cannot log in at this host's sshd at all")
    with_key: list[str] = []
    without: list[str] = []
    chosen = [text for number, text in enumerate(lines_of(public)) if number % len(FORMS) in (1, 6, 15)]
    for text in chosen:
        if text.startswith(("from=", "principals=", "verify-required")):
            continue  # readable, and for others
        (line,) = parse_authorized_keys(f"{text}\n".encode(), RELEASE).lines
        (without if line.key is None else with_key).append(text)

    def lets_in(*lines: str) -> bool:
        authorized.write_text("".join(f"{line}\n" for line in lines))
        return logs_in(port, key)

    wrong = [text for text in with_key if not lets_in(text)]
    if lets_in(*without):  # sshd tries one line after another: if one is a key, it is found
        wrong += (text for text in without if lets_in(text))
        assert wrong
    count = len(with_key) + len(without)
    print(f"authorized_keys: {count - len(wrong)} of {count} lines agree with logins at {SSHD}")
    assert not wrong, [text[:60] for text in wrong]
    assert min(len(with_key), len(without)) > 10
