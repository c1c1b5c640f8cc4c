"""What libguestfs says, in our words: the one place where its errors become ours."""

from __future__ import annotations

import guestfs
import pytest

from guestrepair.appliance.handle import message, reading
from guestrepair.appliance.left_out import MAX_KEPT, LeftOut
from guestrepair.errors import ApplianceError, DamageError, GuestReadError, LeftOutError

CRASHED = (
    "appliance closed the connection unexpectedly.\nThis usually means the libguestfs appliance crashed."
)


@pytest.mark.parametrize(
    ("said", "kind", "reason"),
    [
        ("lstatns: /etc/x: No such file or directory", GuestReadError, "no such file or directory"),
        ("ls: /srv: Structure needs cleaning", DamageError, "ls: /srv: Structure needs cleaning"),
        ("pread: /a: Input/output error", DamageError, "pread: /a: Input/output error"),
        ("ls: /Input/output error/a: Denied", GuestReadError, "ls: /Input/output error/a: Denied"),
        ("ls:  /a:\n Permission denied\n", GuestReadError, "ls: /a: Permission denied"),
        # Names that the guest has chosen.
        (
            "ls: /appliance closed the connection unexpectedly: Permission denied", GuestReadError,
            "ls: /appliance closed the connection unexpectedly: Permission denied",
        ),
        ("ls: /appliance exited: Bad address", GuestReadError, "ls: /appliance exited: Bad address"),
    ],
)  # fmt: skip
def test_what_fails_of_one_path_is_about_that_path(
    said: str, kind: type[GuestReadError], reason: str
) -> None:
    with pytest.raises(GuestReadError) as failed, reading("/etc/x"):
        raise RuntimeError(said)
    assert (type(failed.value), failed.value.path, failed.value.reason) == (kind, "/etc/x", reason)


@pytest.mark.parametrize(
    "said",
    [
        CRASHED,
        "appliance closed the connection unexpectedly, see earlier error messages",
        "ls: appliance closed the connection unexpectedly",
        "libguestfs error: write to daemon socket: Broken pipe",
    ],
)
def test_an_appliance_that_is_gone_is_no_error_of_the_path(said: str) -> None:
    with (
        pytest.raises(ApplianceError, match="the appliance stopped while /etc/x was read"),
        reading("/etc/x"),
    ):
        raise RuntimeError(said)


def test_what_libguestfs_says_once_its_appliance_has_ended() -> None:
    """By itself: a handle is then as it is before its launch."""
    handle = guestfs.GuestFS(python_return_dict=True)
    with pytest.raises(ApplianceError, match="stopped while /etc was read"), reading("/etc"):
        handle.ls("/etc")
    handle.close()


def test_a_name_that_the_bindings_cannot_take_is_said() -> None:
    handle = guestfs.GuestFS(python_return_dict=True)
    with pytest.raises(GuestReadError, match="not valid UTF-8"), reading("/etc"):
        handle.ls("/\udcff")
    handle.close()


def test_libguestfs_s_words_are_one_line() -> None:
    assert message(RuntimeError("libguestfs error: a:\n  b\tc\n")) == "a: b c"


def test_what_is_left_out_is_kept_in_mind_up_to_a_number() -> None:
    machine = LeftOut()
    for number in range(MAX_KEPT + 10):
        with (
            pytest.raises(LeftOutError, match=f"/etc/{number}: needs the appliance"),
            reading(f"/etc/{number}"),
        ):
            machine.handle()
    assert len(machine.unanswered) == MAX_KEPT
    machine.begin()
    assert (machine.begun, machine.started) == (False, False)
    machine.end()
