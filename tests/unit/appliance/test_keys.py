"""What ``--key`` may say, and which keys are tried on which container."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.appliance.keys import Key, KeyRing, names_a_file, parse_key
from guestrepair.errors import UsageError
from guestrepair.guest.devices import BlockDevice, DeviceKind

CONTAINER = BlockDevice("/dev/sda2", DeviceKind.PARTITION, 1 << 30, "crypto_LUKS", "ab-1", disk="/dev/sda")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("key:secret", Key("", "secret")),
        ("all:key:secret", Key("", "secret")),
        ("/dev/sda2:key:secret", Key("/dev/sda2", "secret")),
        ("UUID=ab-1:key:secret", Key("UUID=ab-1", "secret")),
        ("key:", Key("", "")),
        # The first kind counts: a passphrase is whatever stands after it.
        ("key:my:key:word", Key("", "my:key:word")),
        ("key:my:file:word", Key("", "my:file:word")),
        ("ab-1:key:a:file:b", Key("ab-1", "a:file:b")),
        ("key:two\nlines", Key("", "two\nlines")),
    ],
)
def test_a_passphrase_on_the_command_line(text: str, key: Key) -> None:
    assert parse_key(text) == key
    assert not names_a_file(text)


@pytest.mark.parametrize("name", ["key", "a:key:b", "a:file:b"])
@pytest.mark.parametrize(("before", "selector"), [("", ""), ("all:", ""), ("/dev/sda2:", "/dev/sda2")])
def test_a_passphrase_in_a_file(name: str, before: str, selector: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("se cret\n")
    text = f"{before}file:{tmp_path / name}"
    assert parse_key(text) == Key(selector, "se cret", tmp_path / name)
    assert names_a_file(text) is (":key:" not in name)  # in doubt it is a secret, and shown to nobody


@pytest.mark.parametrize(
    "text", ["", "secret", "/dev/sda2:secret", "KEY:secret", "keys:secret", "a:" * 50_000]
)
def test_another_form_is_refused_with_the_right_ones(text: str) -> None:
    for read in (parse_key, names_a_file):
        with pytest.raises(UsageError, match="not understood") as refused:
            read(text)
        assert "DEVICE:file:PATH" in refused.value.hint


def test_a_file_that_cannot_be_read_is_named_and_never_quoted(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe secret")
    for name, reason in (
        ("absent", "No such file or directory"),
        ("", "Is a directory"),
        ("binary", "not text"),
    ):
        with pytest.raises(UsageError) as refused:
            parse_key(f"file:{tmp_path / name}")
        assert refused.value.message == f"--key: {tmp_path / name}: {reason}"


def test_a_secret_is_not_in_what_is_printed_of_a_key() -> None:
    assert "s3cret" not in repr(KeyRing((Key("", "s3cret"),)))


def test_own_keys_come_first_then_those_for_any_then_what_is_typed() -> None:
    asked: list[str] = []

    def typed(container: BlockDevice) -> str | None:
        asked.append(container.name)
        return "typed" if len(asked) == 1 else None

    keys = [
        Key("", "any"),
        Key("ab-1", "by UUID"),
        Key("/dev/sdb1", "another's"),
        Key("/dev/sda2", "by name"),
    ]
    ring = KeyRing([*keys, Key("UUID=ab-1", "by tag")], typed)
    candidates = ring.candidates(CONTAINER)
    assert [next(candidates) for _ in range(4)] == ["by UUID", "by name", "by tag", "any"]
    assert asked == []  # nobody is asked as long as a key may fit
    assert list(candidates) == ["typed"]
    assert list(ring.candidates(CONTAINER))[-1] == "any"  # nobody wants to type any more
    assert list(KeyRing().candidates(CONTAINER)) == []
