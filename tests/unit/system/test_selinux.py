"""How SELinux will be started: configuration, policies, kernel parameters; the unreadable is an error."""

from __future__ import annotations

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import GuestPath as P
from guestrepair.system.boot_loader import BootLoader
from guestrepair.system.guest_system import System
from guestrepair.system.selinux import Selinux

CONFIG = "/etc/selinux/config"
CONTEXTS = "/etc/selinux/targeted/contexts/files/file_contexts"


def selinux_of(guest: MemoryGuest) -> Selinux:
    return Selinux(guest, BootLoader(guest))


def guest(distro: str = "rocky", like: tuple[str, ...] = ("rhel",)) -> MemoryGuest:
    made = MemoryGuest(os=OperatingSystem(distro, id_like=like))
    made.file(CONFIG, "SELINUX=enforcing\nSELINUXTYPE=targeted\n")
    made.file("/etc/selinux/targeted/policy/policy.33", b"x")
    made.file(CONTEXTS, "/.*\tsystem_u:object_r:default_t:s0\n")
    made.directory("/etc/selinux/mls/policy")
    return made


@pytest.mark.parametrize(
    ("text", "mode", "policy"),
    [
        ("SELINUX=enforcing\nSELINUXTYPE=mls\n", "enforcing", "mls"),
        ("SELINUX=on\n", "on", "targeted"),
        ("# nothing\n", None, "targeted"),
    ],
)
def test_the_configuration(text: str, mode: str | None, policy: str) -> None:
    made = guest()
    made.file(CONFIG, text)
    config = selinux_of(made).config
    assert config is not None
    assert config.data == text.encode()
    assert (config.mode.value if config.mode else None, config.policy_name) == (mode, policy)


@pytest.mark.parametrize("content", [None, b""])
def test_no_configuration(content: bytes | None) -> None:
    made = guest()
    made.remove(CONFIG)
    if content is not None:
        made.file(CONFIG, content)
    assert selinux_of(made).config is None


@pytest.mark.parametrize(
    ("distro", "like", "path", "text", "started"),
    [
        ("rocky", ("rhel",), "/etc/kernel/cmdline", "ro", True),
        ("other", ("fedora",), "/etc/kernel/cmdline", "ro", True),
        ("fedora", (), "/etc/kernel/cmdline", "ro selinux=0", False),
        ("fedora", (), "/boot/grub2/grub.cfg", "menuentry x {\n linux /vmlinuz selinux=0\n}\n", False),
        ("debian", (), "/boot/grub/grub.cfg", "menuentry x {\n linux /vmlinuz ro\n}\n", False),
        (
            "debian",
            (),
            "/boot/grub/grub.cfg",
            "menuentry x {\n linux /vmlinuz security=selinux selinux=1\n}\n",
            True,
        ),
    ],
)
def test_whether_the_kernel_starts_it(
    distro: str, like: tuple[str, ...], path: str, text: str, started: bool
) -> None:
    made = guest(distro, like)
    made.file(path, text)
    assert selinux_of(made).is_started is started


def test_the_policies_that_can_be_loaded() -> None:
    made = guest()
    selinux = selinux_of(made)
    assert selinux.policies == ("targeted",)
    assert [selinux.has_policy(name) for name in ("targeted", "mls", "", "..", "a/b", "\udcff")] == [
        True, False, False, False, False, False,
    ]  # fmt: skip
    made.remove("/etc/selinux")
    assert selinux_of(made).policies == ()


def test_the_label_of_a_path() -> None:
    assert System(guest()).selinux.labels.of(P("/etc/x"), 0o100644) == "system_u:object_r:default_t:s0"


@pytest.mark.parametrize(
    ("fact", "path"),
    [("config", CONFIG), ("is_started", "/boot/grub2/grubenv"), ("labels", CONTEXTS)],
)
def test_what_cannot_be_read_is_no_answer(fact: str, path: str) -> None:
    made = guest()
    made.file(path, b"x").unreadable = "Input/output error"
    with pytest.raises(GuestReadError, match=path):
        getattr(selinux_of(made), fact)
