"""passwd, shadow and group with their copies: what is not there is None, what cannot be read is an error."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.account_files import AccountFiles

TEXT = {
    "passwd": b"root:x:0:0::/root:/bin/sh\nbad\n",
    "shadow": b"root:!:1::::::\nbad\n",
    "group": b"root:x:0:\nbad\n",
}
FACTS = [(name, f"/etc/{name}") for name in TEXT] + [(f"{name}_copy", f"/etc/{name}-") for name in TEXT]


def guest() -> MemoryGuest:
    made = MemoryGuest()
    for name, content in TEXT.items():
        made.file(f"/etc/{name}", content)
        made.file(f"/etc/{name}-", content)
    return made


@pytest.mark.parametrize(("fact", "path"), FACTS)
def test_a_file_has_its_bytes_and_what_they_say(fact: str, path: str) -> None:
    made = guest()
    found = getattr(AccountFiles(made), fact)
    assert (found.path, found.data) == (P(path), made.nodes[P(path)].content)
    assert [entry.name for entry in found.parsed.entries] == ["root"]
    assert [broken.line.number for broken in found.parsed.malformed] == [2]


@pytest.mark.parametrize(("fact", "path"), FACTS)
def test_a_file_that_is_not_there(fact: str, path: str) -> None:
    made = guest()
    made.remove(path)
    files = AccountFiles(made)
    assert getattr(files, fact) is None
    assert files.any_there


@pytest.mark.parametrize(("fact", "path"), FACTS)
@pytest.mark.parametrize("content", [None, b"\n" * 300_000], ids=["unreadable", "too long"])
def test_a_file_that_cannot_be_read_is_not_an_empty_one(fact: str, path: str, content: bytes | None) -> None:
    made = guest()
    node = made.file(path, content or b"x")
    node.unreadable = "" if content else "Input/output error"
    files = AccountFiles(made)
    for _ in range(2):
        with pytest.raises(GuestReadError):
            getattr(files, fact)


def test_a_tree_without_any_of_them() -> None:
    made = MemoryGuest()
    made.file("/etc/passwd-", b"")
    assert not AccountFiles(made).any_there
