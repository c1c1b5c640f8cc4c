"""What looks like a password or token is masked, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guestrepair.events.model import Event, Kind
from guestrepair.events.secrets import (
    MASK,
    masked,
    masked_document,
    without_secrets,
)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("mysql -u root -phunter2 shop", "hunter2"),
        ("mysqldump -p hunter2 shop", "hunter2"),
        ("sshpass -p 'hunter2' ssh host", "hunter2"),
        ("export DB_PASSWORD=hunter2", "hunter2"),
        ("curl -H 'Authorization: Bearer abc.def-123' https://x", "abc.def-123"),
        ("curl -u alice:hunter2 https://x", "hunter2"),
        ("git clone https://alice:hunter2@host/x.git", "hunter2"),
        ("useradd --password hunter2 bob", "hunter2"),
        ('{"token": "hunter2"}', "hunter2"),
        ("echo alice:hunter2 | sudo chpasswd", "hunter2"),
        ("usermod -p $6$salt$abcdefghijkl bob", "abcdefghijkl"),
        ("aws configure set x AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
        ("api_key: hunter2", "hunter2"),
        ("passwd:hunter2", "hunter2"),
        ("passwd: amd64", "amd64"),
        ("passwd:amd64hunter2", "amd64hunter2"),
        ("passwd:amd64=hunter2", "hunter2"),
        ("token:all", "all"),
        ("Password:noarch", "noarch"),
        ("netroot=iscsi:alice:hunter2@10.0.0.1::3260::iqn.2026-01.test:x", "hunter2"),
        ("netroot=iscsi:alice:hunter2:bob:hunter3@10.0.0.1::::iqn.2026-01.test:x", "hunter3"),
    ],
)
def test_a_secret_is_masked(text: str, secret: str) -> None:
    assert secret not in masked(text)
    assert MASK in masked(text)


@pytest.mark.parametrize(
    "text",
    [
        "sudo vim /etc/fstab",
        "netroot=iscsi:@10.0.0.1::3260::iqn.2026-01.test:x",
        "netroot=iscsi:10.0.0.1::3260::iqn.2026-01.test:x",
        "passwd alice",
        "mkdir -p /srv/data",
        "pam_unix(sshd:session): session opened for user alice(uid=1000) by (uid=0)",
        "Accepted publickey for alice from 10.0.4.7 port 50122 ssh2: ED25519 SHA256:7Zk",
        "cp -p /etc/passwd /etc/passwd.bak",
        "chmod 600 /etc/ssh/ssh_host_ed25519_key",
        "https://host/path?x=1",
        "/etc/passwd:12",
        "/etc/security/opasswd: input/output error",
        "passwd:amd64",
        "shadow:all",
        "install passwd:amd64 1:4.13+dfsg1-1",
        "Install: libpass:i386 (1.2), libsecret-1-0:amd64 (0.20.5-3)",
        "apt install passwd:amd64=1:4.13+dfsg1-1",
        "perl-Authen-Passphrase:noarch",
        "golang-docker-credential-helpers:all",
        "libpam-passwdqc:x86_64 is damaged (pass:all)",
    ],
)
def test_all_else_stays(text: str) -> None:
    assert masked(text) == text


@given(st.text())
def test_any_text_is_taken_and_masking_is_done_at_once(text: str) -> None:
    assert masked(masked(text)) == masked(text)


def test_every_text_of_an_event_is_masked() -> None:
    event = Event(
        time_ns=1, kind=Kind.FILE, description="Creation Time", message="/srv/token=hunter2",
        source="/srv/token=hunter2 (inode 5)", path="/srv/token=hunter2",
        detail=(("x", "password: hunter2"),),
    )  # fmt: skip
    assert "hunter2" not in repr(without_secrets(event))
    assert without_secrets(event._replace(path="/etc/shadow")).path == "/etc/shadow"


def test_all_texts_of_a_document_are_masked_and_nothing_else() -> None:
    document = {"password": "x", "a": ["token=hunter2", 1, {"diff": "-secret: hunter2"}], "b": True}
    assert masked_document(document) == {
        "password": "x", "a": [f"token={MASK}", 1, {"diff": f"-secret: {MASK}"}], "b": True
    }  # fmt: skip
