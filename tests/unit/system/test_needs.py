"""What boot and login cannot do without: by the programs, their libraries, and the names of what is gone."""

from __future__ import annotations

import pytest

from guestrepair.guest.memory import MemoryGuest
from guestrepair.system.guest_system import System
from guestrepair.system.needs import Stage
from tests.unit.packages.elf_files import elf

LOADER = "/lib64/ld-linux-x86-64.so.2"


def guest() -> MemoryGuest:
    made = MemoryGuest()
    for name in ("bin", "sbin", "lib", "lib64"):
        made.directory(f"/usr/{name}")
        made.link(f"/{name}", f"usr/{name}")
    made.file("/usr/lib64/ld-linux-x86-64.so.2", elf())
    made.file("/usr/lib/systemd/systemd", elf("libboot.so.1", "libgone.so.1", interpreter=LOADER), mode=0o755)
    made.link("/usr/sbin/init", "../lib/systemd/systemd")
    made.file("/usr/bin/login", elf("liblogin.so.1", interpreter=LOADER), mode=0o755)
    for name in ("libboot", "liblogin", "libother"):
        made.file(f"/usr/lib64/{name}.so.1.2", elf(soname=f"{name}.so.1"))
        made.link(f"/usr/lib64/{name}.so.1", f"{name}.so.1.2")
    made.file("/etc/pam.d/login", "auth required pam_unix.so\n")
    made.directory("/usr/lib64/security")
    return made


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("/usr/lib/systemd/systemd", Stage.BOOT),
        ("/sbin/init", Stage.BOOT),
        ("/lib64/libboot.so.1", Stage.BOOT),
        ("/usr/lib64/libboot.so.1.2", Stage.BOOT),
        ("/usr/lib64/libgone.so.1.7.3", Stage.BOOT),
        ("/usr/lib64/ld-linux-x86-64.so.2", Stage.BOOT),
        ("/boot/vmlinuz-6.1", Stage.BOOT),
        ("/usr/lib/systemd/system/sysinit.target", Stage.BOOT),
        ("/usr/bin/mount", Stage.BOOT),
        ("/bin/login", Stage.LOGIN),
        ("/usr/sbin/sshd", Stage.LOGIN),
        ("/usr/lib64/liblogin.so.1.2", Stage.LOGIN),
        ("/usr/lib64/security/pam_unix.so", Stage.LOGIN),
        ("/usr/lib64/security/pam_other.so", Stage.OTHER),
        ("/usr/lib64/libother.so.1", Stage.OTHER),
        ("/usr/bin/nano", Stage.OTHER),
        ("/usr/share/doc/login", Stage.OTHER),
        ("/opt/login", Stage.OTHER),
    ],
)
def test_which_stage_fails_without_a_path(path: str, stage: Stage) -> None:
    assert System(guest()).needs.stage(path) is stage


def test_the_first_stage_of_many() -> None:
    needs = System(guest()).needs
    assert needs.first(["/usr/bin/nano", "/usr/bin/login", "/sbin/init"]) is Stage.BOOT
    assert needs.first([]) is Stage.OTHER
