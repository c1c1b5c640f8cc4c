"""no-usable-key, revoked-keys-unreadable, host-key-refused: files of keys that keep everybody out."""

from __future__ import annotations

import textwrap

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, rsa

from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import (
    EditFile,
    Finding,
    GenerateHostKey,
    GuestPath,
    MakeDirectory,
    Safety,
    Severity,
    WriteFile,
)
from tests.support import dsa_keys
from tests.unit.analyzers.sshd_guest import debian, findings, key_pair, only, rocky9, scan

CONFIG = "/etc/ssh/sshd_config"
KEYS = "/home/ann/.ssh/authorized_keys"
KEYS_ONLY = "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
LINE = key_pair(8)[1].split(b" root@")[0].decode()
BODY = textwrap.fill(LINE.split()[1], 40)
SSH2 = f'---- BEGIN SSH2 PUBLIC KEY ----\nComment: "me"\n{BODY}\n---- END SSH2 PUBLIC KEY ----\n'


def guest_with(
    text: str | bytes, *, config: str = KEYS_ONLY, guest: MemoryGuest | None = None
) -> MemoryGuest:
    """Ann has that file; root has a password, and may not use it."""
    guest = guest or debian()
    guest.directory("/home/ann", mode=0o755, uid=1000, gid=1000)
    guest.directory("/home/ann/.ssh", mode=0o700, uid=1000, gid=1000)
    guest.file(KEYS, text, mode=0o600, uid=1000, gid=1000)
    guest.file(CONFIG, config)
    return guest


def rsa_line(bits: int) -> str:
    key = rsa.generate_private_key(65537, bits).public_key()
    form = serialization.PublicFormat.OpenSSH
    return key.public_bytes(serialization.Encoding.OpenSSH, form).decode()


def line_of(kind: str) -> str:
    return dsa_keys.public_line() if kind == "dsa" else rsa_line(1024) if kind == "rsa 1024" else LINE


def written(found: Finding) -> bytes:
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    (change,) = found.repair.changes
    assert isinstance(change, WriteFile)
    assert change.backup
    return change.after


@pytest.mark.parametrize(
    ("text", "after"),
    [
        (SSH2, f"{LINE} me\n"),
        (f"{SSH2}# end\n", f"{LINE} me\n# end\n"),
        ("\n".join(LINE.split()), f"{LINE}\n"),
        (LINE.split()[1], f"{LINE}\n"),
        (f"\ufeff{LINE} me\r\n".encode("utf-16-le"), f"{LINE} me\n"),
        (f"\ufeff{LINE}\n", f"{LINE}\n"),
        (key_pair(8)[0], f"{LINE}\n"),
    ],
)
def test_nobody_is_left_and_the_same_keys_are_written(text: str | bytes, after: str) -> None:
    guest = guest_with(text)
    found = only(guest, "no-usable-key")
    assert (found.severity, found.subject) == (Severity.ERROR, KEYS)
    assert written(found).decode() == after
    guest.file(KEYS, written(found), mode=0o600, uid=1000, gid=1000)
    assert findings(guest) == []


@pytest.mark.parametrize(
    "text",
    [
        "<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n",
        f"{LINE[:-12]}\n",
        f"unknown-option {LINE}\n",
        f'expiry-time="20200101" {LINE}\n',
        f"{rsa_line(1024)}\n".replace("ssh-rsa", "ssh-rs"),
    ],
)
def test_what_cannot_be_turned_into_keys_is_left_to_a_person(text: str) -> None:
    guest = guest_with(text)
    found = [f for f in findings(guest) if f.rule == "sshd/no-usable-key"]
    assert [f.severity for f in found] == [Severity.ERROR]
    if "ssh-rs" in text:
        return
    assert found[0].repair is not None
    assert not found[0].repair.changes


def test_a_private_key_is_not_shown() -> None:
    private = key_pair(8)[0]
    found = only(guest_with(private), "no-usable-key")
    shown = " ".join(e.observed for e in found.evidence)
    assert not any(line in shown for line in private.decode().splitlines()[1:3])


def test_while_somebody_else_gets_in_it_is_a_warning() -> None:
    guest = guest_with(SSH2, config="UsePAM yes\n")
    assert only(guest, "no-usable-key").severity is Severity.WARNING
    guest = guest_with(SSH2)
    guest.directory("/root/.ssh", mode=0o700)
    guest.file("/root/.ssh/authorized_keys", LINE, mode=0o600)
    assert only(guest, "no-usable-key").severity is Severity.WARNING


@pytest.mark.parametrize(
    ("methods", "severity"),
    [
        ("publickey", Severity.ERROR),
        ("publickey,password publickey,keyboard-interactive", Severity.ERROR),
        ("publickey password", Severity.WARNING),
        ("any", Severity.WARNING),
    ],
)
def test_methods_that_all_need_a_key(methods: str, severity: Severity) -> None:
    config = f"UsePAM yes\nPermitRootLogin yes\nAuthenticationMethods {methods}\n"
    guest = guest_with(SSH2, config=config)
    assert only(guest, "no-usable-key").severity is severity


def test_a_broken_line_beside_a_good_one_is_a_note() -> None:
    guest = guest_with(f"{LINE}\n{SSH2}")
    found = only(guest, "no-usable-key")
    assert (found.severity, found.repair) == (Severity.NOTE, None)
    guest = guest_with(f"{LINE}\nsome words\n")
    found = only(guest, "no-usable-key")
    assert (found.severity, found.repair) == (Severity.NOTE, None)


@pytest.mark.parametrize(
    "text",
    [
        "", "# keys come with the first boot\n", f"{LINE}\n", f'from="10.0.0.0/8",command="x" {LINE} me\n',
        f"cert-authority {LINE}\n", f'expiry-time="20990101" {LINE}\n', f"{LINE}\r\n",
        f"# {SSH2.splitlines()[0]}\n{LINE}\n",
    ],
)  # fmt: skip
def test_healthy_files(text: str) -> None:
    guest = guest_with(text, config="UsePAM yes\n")
    assert findings(guest) == []


@pytest.mark.parametrize("extra", ["AuthorizedKeysCommand /usr/bin/x\nAuthorizedKeysCommandUser root\n"])
def test_keys_from_elsewhere_may_let_somebody_in(extra: str) -> None:
    guest = guest_with(SSH2, config=KEYS_ONLY + extra)
    assert only(guest, "no-usable-key").severity is Severity.WARNING


def test_an_account_that_is_shut_out_anyway_does_not_count() -> None:
    guest = guest_with(SSH2, config="UsePAM yes\nAllowUsers root\nPermitRootLogin yes\n")
    assert findings(guest) == []


@pytest.mark.parametrize(
    ("line", "config", "word"),
    [
        ("dsa", "", "DSA"),
        ("rsa 1024", "RequiredRSASize 2048\n", "1024 bits"),
        ("ed25519", "PubkeyAcceptedAlgorithms rsa-sha2-*,ecdsa-*\n", "ssh-ed25519"),
        ("ed25519", "PubkeyAcceptedAlgorithms -ssh-ed25519\n", "ssh-ed25519"),
        ("rsa 1024", "PubkeyAcceptedAlgorithms ssh-ed25519\n", "ssh-rsa"),
    ],
)
def test_kinds_and_sizes_that_are_refused(line: str, config: str, word: str) -> None:
    text = line_of(line)
    found = only(guest_with(text, config=KEYS_ONLY + config), "no-usable-key")
    assert found.severity is Severity.ERROR
    assert word in found.message
    assert found.repair is not None
    assert found.repair.safety is Safety.MANUAL


@pytest.mark.parametrize(
    ("line", "config"),
    [
        ("dsa", "PubkeyAcceptedAlgorithms +ssh-dss\n"),
        ("rsa 1024", ""),
        ("rsa 1024", "PubkeyAcceptedAlgorithms rsa-sha2-256\n"),
        ("rsa 1024", "PubkeyAcceptedAlgorithms ssh-rsa\n"),
        ("ed25519", "PubkeyAcceptedAlgorithms ^ssh-rsa\n"),
        ("ed25519", "Match Address 10.0.0.0/8\nPubkeyAcceptedAlgorithms ssh-rsa\n"),
    ],
)
def test_kinds_and_sizes_that_are_taken(line: str, config: str) -> None:
    text = line_of(line)
    assert findings(guest_with(text, config=KEYS_ONLY + config)) == []


def test_a_crypto_policy_of_red_hat() -> None:
    policy = "/etc/crypto-policies/back-ends/opensshserver.config"
    guest = rocky9()
    guest.file("/etc/ssh/sshd_config.d/50-redhat.conf", f"Include {policy}\n")
    guest.file(policy, "RequiredRSASize 2048\nPubkeyAcceptedAlgorithms rsa-sha2-512,ssh-ed25519\n")
    config = "Include /etc/ssh/sshd_config.d/*.conf\n" + KEYS_ONLY
    assert (
        only(guest_with(rsa_line(1024), config=config, guest=guest), "no-usable-key").severity
        is Severity.ERROR
    )
    assert findings(guest_with(rsa_line(2048), config=config, guest=guest)) == []


def test_a_file_that_cannot_be_read_is_inconclusive_and_no_fault() -> None:
    guest = guest_with(SSH2)
    guest.nodes[GuestPath(KEYS)].unreadable = "input/output error"
    found, _ = scan(guest)
    assert found == []


# --- revoked-keys-unreadable ----------------------------------------------------------


def test_revoked_keys_that_are_not_there() -> None:
    guest = guest_with(LINE, config=KEYS_ONLY + "RevokedKeys /etc/ssh/revoked/keys\n")
    found = only(guest, "revoked-keys-unreadable")
    assert (found.severity, found.subject) == (Severity.ERROR, "/etc/ssh/revoked/keys")
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    directory, file = found.repair.changes
    assert isinstance(directory, MakeDirectory)
    assert isinstance(file, WriteFile)
    assert (file.path, file.after) == (GuestPath("/etc/ssh/revoked/keys"), b"")
    guest.file("/etc/ssh/revoked/keys", "")
    assert findings(guest) == []


@pytest.mark.parametrize("line", ["RevokedKeys none", "PubkeyAuthentication no\nRevokedKeys /gone"])
def test_revoked_keys_that_do_not_matter(line: str) -> None:
    assert findings(guest_with("", config=f"UsePAM yes\n{line}\n")) == []


def test_authorities_and_principals() -> None:
    config = KEYS_ONLY + "TrustedUserCAKeys /etc/ssh/ca.pub\n"
    guest = guest_with("", config=config)
    found = only(guest, "revoked-keys-unreadable")
    assert (found.subject, found.severity) == ("/etc/ssh/ca.pub", Severity.ERROR)
    guest.file("/etc/ssh/ca.pub", f"{LINE} ca\n")
    assert findings(guest) == []
    guest.file(CONFIG, config + "AuthorizedPrincipalsFile /etc/ssh/principals/%u\n")
    assert only(guest, "revoked-keys-unreadable").subject == f"{CONFIG}:5"
    guest.file("/etc/ssh/principals/ann", "ann\n")
    assert findings(guest) == []
    guest = guest_with(LINE, config=config)
    assert only(guest, "revoked-keys-unreadable").severity is Severity.WARNING


# --- host-key-refused -----------------------------------------------------------------


def host_key(guest: MemoryGuest, name: str, key: rsa.RSAPrivateKey | dsa.DSAPrivateKey) -> None:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH
    private = dsa_keys.in_ssh_s_form(lambda: key.private_bytes(encoding, form, serialization.NoEncryption()))
    for kind in ("rsa", "ecdsa", "ed25519"):
        if GuestPath(f"/etc/ssh/ssh_host_{kind}_key") in guest.nodes:
            guest.remove(f"/etc/ssh/ssh_host_{kind}_key")
            guest.remove(f"/etc/ssh/ssh_host_{kind}_key.pub")
    guest.file(name, private, mode=0o600)


def test_the_only_host_key_is_refused() -> None:
    guest = debian()
    host_key(guest, "/etc/ssh/ssh_host_rsa_key", rsa.generate_private_key(65537, 1024))  # noqa: S505
    assert findings(guest) == []
    guest.file(CONFIG, "RequiredRSASize 2048\n")
    found = only(guest, "host-key-refused")
    assert (found.severity, found.subject) == (Severity.ERROR, "/etc/ssh/ssh_host_rsa_key")
    assert found.repair is not None
    assert found.repair.safety is Safety.REVIEW
    made = [
        (change.key_type, change.path.name)
        for change in found.repair.changes
        if isinstance(change, GenerateHostKey)
    ]
    assert made == [("ecdsa", "ssh_host_ecdsa_key"), ("ed25519", "ssh_host_ed25519_key")]
    private, _ = key_pair(3)
    guest.file("/etc/ssh/ssh_host_ed25519_key", private, mode=0o600)
    assert findings(guest) == []


def test_a_dsa_host_key_alone() -> None:
    guest = debian()
    host_key(guest, "/etc/ssh/ssh_host_dsa_key", dsa_keys.key())
    guest.file(CONFIG, "HostKey /etc/ssh/ssh_host_dsa_key\n")
    found = only(guest, "host-key-refused")
    assert "DSA" in found.message
    guest.file(CONFIG, "HostKey /etc/ssh/ssh_host_dsa_key\nHostKeyAlgorithms +ssh-dss\n")
    assert findings(guest) == []


def test_a_key_made_at_boot_mends_it() -> None:
    guest = rocky9()
    host_key(guest, "/etc/ssh/ssh_host_rsa_key", rsa.generate_private_key(65537, 1024))  # noqa: S505
    guest.file(CONFIG, "RequiredRSASize 2048\n")
    assert findings(guest) == []


def test_edits_of_the_configuration_are_no_part_of_these() -> None:
    found = only(guest_with(SSH2), "no-usable-key")
    assert found.repair is not None
    assert not any(isinstance(change, EditFile) for change in found.repair.changes)
