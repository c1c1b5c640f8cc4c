"""A PAM service as Linux-PAM would put it together: order, types, substacks, circles, what is missing."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.pam import MAX_DEPTH, Pam, PamStack

D = "/etc/pam.d"


def guest(**files: str) -> MemoryGuest:
    made = MemoryGuest()
    for name, text in files.items():
        made.file(f"{D}/{name}", text)
    return made


def stack(**files: str) -> PamStack:
    return Pam(guest(**files)).stack("sshd")


def modules(found: PamStack, kind: str) -> list[str]:
    return [call.module.module for call in found.of(kind)]


def test_includes_are_followed_where_they_stand() -> None:
    found = stack(
        sshd="auth required a.so x=1\n@include common\nauth requisite c.so\naccount required d.so\n",
        common="auth [success=2 default=ignore] b.so\nsession optional s.so\n",
    )
    assert modules(found, "auth") == ["a.so", "b.so", "c.so"]
    assert modules(found, "account") == ["d.so"]
    assert modules(found, "session") == ["s.so"]
    assert modules(found, "password") == []
    assert [(c.module.control, c.module.arguments, c.place) for c in found.of("auth")] == [
        ("required", ("x=1",), f"{D}/sshd:1"),
        ("success=2 default=ignore", (), f"{D}/common:1"),
        ("requisite", (), f"{D}/sshd:3"),
    ]
    assert [(link.place, link.target) for link in found.links] == [(f"{D}/sshd:2", P(f"{D}/common"))]


def test_a_typed_include_draws_in_the_lines_of_its_type_alone() -> None:
    common = "auth required a.so\naccount required gone.so\n@include deep\naccount include nowhere\n"
    found = stack(
        sshd="auth include common\n", common=common, deep="auth required b.so\nsession required s.so\n"
    )
    assert modules(found, "auth") == ["a.so", "b.so"]
    assert [found.of(kind) for kind in ("account", "session")] == [(), ()]
    assert found.missing == ()


def test_a_file_serves_each_type_that_draws_it_in() -> None:
    found = stack(
        sshd="auth include all\naccount include all\n", all="auth required a.so\naccount required b.so\n"
    )
    assert (modules(found, "auth"), modules(found, "account")) == (["a.so"], ["b.so"])


def test_substacks_are_told_from_includes() -> None:
    found = stack(
        sshd="auth substack one\nauth required z.so\n", one="auth required a.so\nauth substack two\n",
        two="auth sufficient b.so\n",
    )  # fmt: skip
    assert [(c.module.module, c.substacks) for c in found.of("auth")] == [
        ("a.so", (f"{D}/sshd:1",)),
        ("b.so", (f"{D}/sshd:1", f"{D}/one:2")),
        ("z.so", ()),
    ]


def test_what_is_missing_is_said_with_who_names_it() -> None:
    found = stack(sshd="@include common-auth\nauth include /srv/own\n")
    assert [(link.place, str(link.target)) for link in found.missing] == [
        (f"{D}/sshd:1", f"{D}/common-auth"),
        (f"{D}/sshd:2", "/srv/own"),
    ]
    assert not found.is_empty


@pytest.mark.parametrize(
    ("files", "there", "empty"),
    [
        ({}, False, False),
        ({"sshd": ""}, True, True),
        ({"sshd": "# nothing\n"}, True, True),
        ({"sshd": "nonsense\n"}, True, False),
        ({"sshd": "@include none\n"}, True, False),
        ({"sshd": "auth required a.so\n"}, True, False),
    ],
)
def test_an_empty_service_is_told_from_a_missing_one(files: dict[str, str], there: bool, empty: bool) -> None:
    found = stack(**files)
    assert (found.file is not None, found.is_empty) == (there, empty)


def test_lines_that_pam_cannot_read_are_named_once_with_their_text_at_hand() -> None:
    found = stack(sshd="auth include a\naccount include a\n", a="auth required x.so\nauht y.so\n")
    assert found.malformed == ((P(f"{D}/a"), 2),)
    assert found.texts[P(f"{D}/a")].split(b"\n")[1] == b"auht y.so"


def test_circles_end() -> None:
    found = stack(
        sshd="auth include a\nauth required z.so\n", a="@include sshd\nauth include a\nauth required b.so\n"
    )
    assert modules(found, "auth") == ["b.so", "z.so"]
    assert [link.place for link in found.endless] == [f"{D}/a:1", f"{D}/a:2"]


def test_what_lies_too_deep_is_said() -> None:
    files = {f"f{n}": f"auth include f{n + 1}\nauth required m{n}.so\n" for n in range(30)}
    found = stack(sshd="@include f0\n", **files, f30="")
    assert len(found.calls) == MAX_DEPTH
    assert [link.file.name for link in found.endless] == [f"f{MAX_DEPTH - 1}"]


@pytest.mark.parametrize(
    ("directories", "name", "expected"),
    [
        (["/etc/pam.d", "/usr/lib/pam.d"], "sshd", "/etc/pam.d/sshd"),
        (["/usr/lib/pam.d"], "sshd", "/usr/lib/pam.d/sshd"),
        (["/usr/etc/pam.d"], "sshd", "/usr/etc/pam.d/sshd"),
        (["/srv"], "sshd", None),
        (["/srv"], "/srv/sshd", "/srv/sshd"),
        (["/srv"], "srv/sshd", None),
    ],
)
def test_a_service_is_found_where_pam_looks(directories: list[str], name: str, expected: str | None) -> None:
    made = MemoryGuest()
    for directory in directories:
        made.file(f"{directory}/sshd", "")
    assert Pam(made).service_file(name) == (None if expected is None else P(expected))


@pytest.mark.parametrize("path", [f"{D}/sshd", f"{D}/common"])
def test_a_stack_of_which_a_file_cannot_be_read_is_unreadable_each_time(path: str) -> None:
    made = guest(sshd="@include common\n", common="auth required a.so\n", login="auth required b.so\n")
    made.nodes[P(path)].unreadable = "input/output error"
    pam = Pam(made)
    for _ in range(2):
        with pytest.raises(GuestReadError, match=path):
            pam.stack("sshd")
    assert modules(pam.stack("login"), "auth") == ["b.so"]


@pytest.mark.parametrize(
    ("place", "name", "found"),
    [
        ("/usr/lib64/security/a.so", "a.so", True),
        ("/usr/lib/x86_64-linux-gnu/security/a.so", "a.so", True),
        ("/lib/security/a.so", "/lib/security/$ISA/a.so", True),
        ("/opt/a.so", "/opt/a.so", True),
        ("/opt/a.so", "a.so", False),
        ("/usr/lib64/security/b.so", "a.so", False),
    ],
)
def test_a_module_is_found_by_name_or_path(place: str, name: str, found: bool) -> None:
    made = MemoryGuest()
    made.file(place, b"\x7fELF")
    assert Pam(made).module_file(name) == (P(place) if found else None)
