"""``doctor`` names each thing that is really taken away, and what brings it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from guestrepair.doctor import modules
from guestrepair.doctor.model import State
from guestrepair.host_packages import install_command
from tests.support.lacking import files_of, guestrepair_without, needs_namespaces, run_without
from tests.support.program import PROGRAM

SCHEMA = Path(__file__).parents[2] / "docs/schema/doctor-1.json"
ANYBODYS = Path("/var/tmp")  # noqa: S108 - nothing is written there
Checks = dict[str, dict[str, Any]]


def checks(done: subprocess.CompletedProcess[str]) -> Checks:
    assert done.stderr == ""
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    found = {check["name"]: check for check in document["checks"]}
    lacking = [check for check in found.values() if check["state"] != "ok"]
    assert all(check["mend"] for check in lacking)
    assert done.returncode == int(any(check["needed"] for check in lacking))
    assert document["summary"]["needed"] == sum(check["needed"] for check in lacking)
    return found


@pytest.fixture(scope="module")
def here() -> Checks:
    """This host as it is, on which the other tests run: nothing that is needed is missing."""
    return checks(run("--format", "json"))


def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )


def test_a_host_that_has_all(here: Checks) -> None:
    assert [name for name, check in here.items() if check["needed"] and check["state"] != "ok"] == []
    table = run()
    assert table.returncode == 0
    assert "Result: all that is needed is here" in table.stdout
    assert all(name in table.stdout for name in here)


MODULES = ("guestfs", "nbd", "parted", "rpm", "dnf", "yaml", "cryptography", "lz4.frame")
PYPI = {"yaml": "pyyaml", "cryptography": "cryptography", "lz4.frame": "lz4"}
PROGRAMS = {
    "qemu-img": ("/usr/bin/qemu-img", "qemu-img"),
    "qemu-nbd": ("/usr/bin/qemu-nbd", "qemu-nbd"),
    "supermin": ("/usr/bin/supermin", "supermin"),
    "ext4": ("/usr/sbin/e2fsck", "ext4"),
    "XFS": ("/usr/sbin/xfs_repair", "xfs"),
    "btrfs": ("/usr/bin/btrfs", "btrfs"),
    "vfat": ("/usr/sbin/fsck.fat", "vfat"),
    "LVM": ("/usr/sbin/lvm", "lvm"),
    "LUKS": ("/usr/sbin/cryptsetup", "luks"),
    "RAID": ("/usr/sbin/mdadm", "md"),
    "GPT": ("/usr/sbin/sgdisk", "gpt"),
    "sleuthkit": ("/usr/bin/fls", "sleuthkit"),
    "apt-get": ("/usr/bin/apt-get", "apt-get"),
    "ssh-keygen": ("/usr/bin/ssh-keygen", "ssh-keygen"),
    "nbdkit": ("/usr/bin/nbdkit", "nbdkit"),
    "openssl": ("/usr/bin/openssl", "openssl"),
    "UEFI firmware": ("/usr/share/OVMF", "ovmf"),
}


def lacking(found: Checks, here: Checks) -> set[str]:
    """What was ok, and is no more."""
    return {name for name in found if found[name]["state"] != "ok" and here[name]["state"] == "ok"}


@needs_namespaces
@pytest.mark.parametrize("modules", [MODULES, ("guestfs",), ("nbd", "rpm")])
def test_modules_that_are_not_there(modules: tuple[str, ...], here: Checks) -> None:
    gone = [path for module in modules for path in files_of(module)]
    found = checks(guestrepair_without(gone, "doctor", "--format", "json"))
    assert lacking(found, here) - {"dnf"} == set(modules) - {"dnf"}  # dnf needs rpm
    for module in set(modules) - {"dnf"}:
        assert found[module]["state"] == "missing"
        wanted = f" -m pip install {PYPI[module]}" if module in PYPI else install_command((module,))
        assert found[module]["mend"].endswith(wanted)


@needs_namespaces
@pytest.mark.parametrize("names", [tuple(PROGRAMS), ("XFS", "supermin")])
def test_programs_that_are_not_there(names: tuple[str, ...], here: Checks) -> None:
    gone = [Path(PROGRAMS[name][0]) for name in names]
    found = checks(guestrepair_without(gone, "doctor", "--format", "json"))
    assert lacking(found, here) == set(names)
    for name in names:
        assert found[name]["state"] == "missing"
        assert found[name]["mend"] == install_command((PROGRAMS[name][1],))


@needs_namespaces
def test_an_appliance_and_a_kernel_that_are_not_there(here: Checks) -> None:
    kernels = [path for form in ("boot/vmlinu*", "lib/modules/*/vmlinuz") for path in Path("/").glob(form)]
    gone = [Path(here["libguestfs"]["found"]), *kernels]
    found = checks(guestrepair_without(gone, "doctor", "--format", "json"))
    assert lacking(found, here) == {"libguestfs", "kernel"}
    assert found["kernel"]["mend"] == install_command(("kernel",))


@needs_namespaces
def test_the_appliance_s_own_list_of_xfs() -> None:
    """xfsprogs on the host do not help where libguestfs's package that asks for them is not there."""
    appliance = Path(checks(run("--format", "json"))["libguestfs"]["found"])
    found = checks(guestrepair_without([appliance / "supermin.d/packages-xfs"], "doctor", "--format", "json"))
    assert found["XFS"]["state"] == "missing"


def test_programs_that_are_in_no_path(tmp_path: Path, here: Checks) -> None:
    found = checks(run("--format", "json", PATH=str(tmp_path)))
    missing = {name for name in found if found[name]["state"] == "missing" and here[name]["state"] == "ok"}
    assert {"qemu-img", "qemu-nbd", "apt-get", "ssh-keygen", "setpriv", "openssl", "nbdkit", "ssh"} <= missing
    assert any(name.startswith("qemu-system") for name in missing)
    table = run(PATH=str(tmp_path))
    assert table.returncode == 1
    assert "qemu-img is missing (needed)\n  for: opening any image\n  mend: " in table.stdout
    needed = sum(found[name]["needed"] for name in found if found[name]["state"] != "ok")
    assert needed >= 3
    assert f"Result: needed and missing or broken: {needed};" in table.stdout
    assert "Next: " in table.stdout


def test_a_binding_that_is_broken(tmp_path: Path) -> None:
    """One that ends Python, and one that is of another version, are broken and not missing."""
    (tmp_path / "guestfs.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)\n")
    (tmp_path / "nbd.py").write_text("import no_such_library\n")
    found = checks(run("--format", "json", PYTHONPATH=str(tmp_path)))
    assert (found["guestfs"]["state"], found["nbd"]["state"]) == ("broken", "broken")
    assert found["guestfs"]["found"] == "its import ends Python (-11)"
    assert "no_such_library" in found["nbd"]["found"]


def test_a_program_that_does_not_run(tmp_path: Path) -> None:
    """What it says is shown, and shown harmless."""
    for name, text in (("qemu-img", "printf 'a\\033[2Jb\\n'; exit 7"), ("qemu-nbd", "sleep 60")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    found = checks(run("--format", "json", PATH=path))
    assert found["qemu-img"]["state"] == found["qemu-nbd"]["state"] == "broken"
    assert found["qemu-img"]["found"].startswith(f"{tmp_path}/qemu-img ends with 7")
    (tmp_path / "qemu-nbd").unlink()
    assert "\x1b" not in run(PATH=path).stdout


@needs_namespaces
def test_kvm_is_named_where_it_is_not(here: Checks) -> None:
    device = Path("/dev/kvm")
    found = checks(guestrepair_without([device], "doctor", "--format", "json")) if device.exists() else here
    assert found["KVM"]["state"] == "missing"
    assert not found["KVM"]["needed"]


@pytest.mark.parametrize(
    ("name", "variable"),
    [("cache", "XDG_CACHE_HOME"), ("state", "XDG_STATE_HOME")],
)
def test_a_place_that_cannot_be_used(name: str, variable: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = checks(run("--format", "json", **{variable: str(tmp_path / "file")}))
    assert found[name]["state"] == "broken"
    assert variable in found[name]["mend"]


@needs_namespaces
def test_a_place_without_room(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=1m tmpfs "$1"; shift; exec "$@"'
    command = ["sh", "-c", script, "sh", str(tmp_path), str(PROGRAM), "doctor", "--format", "json"]
    found = checks(run_without([], command, TMPDIR=str(tmp_path)))
    assert found["temporary files"]["state"] == "broken"
    assert "1 MiB are free, 1024 are wanted" in found["temporary files"]["found"]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_rights_that_this_user_has_not() -> None:
    """A kernel that only root can read, as Ubuntu has them, and a state directory that is root's."""
    script = (
        "set -e; version=$(ls /lib/modules | tail -1); mount -t tmpfs -o mode=755 tmpfs /boot;"
        ": >/boot/vmlinuz-$version; chmod 600 /boot/vmlinuz-$version;"
        'exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"'
    )
    command = ["sh", "-c", script, "sh", str(PROGRAM), "doctor", "--format", "json"]
    found = checks(run_without([], command, HOME="/root", XDG_CACHE_HOME=str(ANYBODYS)))
    assert found["kernel"]["state"] == "broken"
    assert found["kernel"]["mend"].startswith("sudo chmod a+r /boot/vmlinuz-")
    assert found["state"]["state"] == "broken"
    assert found["cache"]["state"] == "broken"  # made by anybody, in a directory that anybody may write to


def test_nothing_is_made(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    run(HOME=str(home), XDG_STATE_HOME=str(home / "state"))
    assert not (home / "state").exists()


def test_another_module_named_rpm_is_not_rpms_binding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (wanted,) = (module.version for module in modules._BINDINGS if module.name == "rpm")
    assert modules.imported("rpm", wanted, is_childs=True)[0] is State.OK
    (tmp_path / "rpm.py").write_text("__version__ = '0.1'\n")
    monkeypatch.syspath_prepend(tmp_path)
    state, why = modules.imported("rpm", wanted)
    assert state is State.BROKEN
    assert "TransactionSet" in why
