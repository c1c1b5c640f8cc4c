"""Which datasource cloud-init will use, against its own ds-identify on the same files."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from guestrepair.analyzers.base import Context
from guestrepair.guest.devices import BlockDevice, BlockDevices, DeviceKind, OperatingSystem
from guestrepair.guest.memory import MemoryGuest

LISTS = (
    "",
    "[ Azure, None ]",
    "[ Azure ]",
    "[ Azure, NoCloud ]",
    "[ ConfigDrive, NoCloud, None ]",
    "[ None ]",
)
SEEDS = ((), ("nocloud",), ("nocloud-net",), ("nocloud", "nocloud-net"))


@pytest.fixture(scope="module")
def identify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ds-identify of the distribution's own package, which must not be installed on this machine."""
    folder = tmp_path_factory.mktemp("cloud-init")
    folder.chmod(0o755)
    for command in (["apt-get", "download", "-qq", "cloud-init"], ["sh", "-c", "dpkg-deb -x *.deb tree"]):
        if subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode:
            pytest.skip("the package cloud-init cannot be had here")
    return folder / "tree/usr/lib/cloud-init/ds-identify"


def write(root: Path, guest: MemoryGuest, path: str, text: str) -> None:
    """The same file for both."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    guest.file(path, text)


def _programs(root: Path, volume: str) -> Path:
    """What it asks of the machine: a virtual one with these volumes, whatever it is that runs the tests."""
    folder = root / "programs"
    folder.mkdir()
    for name, words in (("systemd-detect-virt", "kvm"), ("blkid", f"DEVNAME=/dev/vda{volume}")):
        (folder / name).write_text(f"#!/bin/sh\nprintf '{words}\\n'\n")
        (folder / name).chmod(0o755)
    return folder


def asked(identify: Path, root: Path, label: str = "") -> str:
    """The first datasource that it finds; "" for none, "off" where it then disables cloud-init."""
    volume = f"\\nDEVNAME=/dev/vdb\\nLABEL={label}\\nTYPE=vfat" if label else ""
    environment = {
        **os.environ,
        "PATH_ROOT": str(root),
        "PATH": f"{_programs(root, volume)}:{os.environ['PATH']}",
    }
    done = subprocess.run(["sh", str(identify), "--force"], env=environment, capture_output=True, check=False)
    config = root / "run/cloud-init/cloud.cfg"
    if done.returncode == 1:
        return "off"
    written = config.read_text() if config.exists() else ""
    found = re.search(r"^datasource_list: \[ *(\w+)", written, re.MULTILINE)
    return found[1] if found and found[1] != "None" else ""


def test_the_datasource_is_the_one_that_it_names(identify: Path, tmp_path: Path) -> None:
    count = 0
    for datasources in LISTS:
        for seeds in SEEDS:
            root, guest = tmp_path / str(count), MemoryGuest()
            for folder in ("run", "proc", "sys/class/dmi/id", "var/lib/cloud/seed"):
                (root / folder).mkdir(parents=True)
            (root / "proc/cmdline").write_text("root=/dev/vda\n")
            write(root, guest, "/etc/cloud/cloud.cfg", "users: [ default ]\n")
            if datasources:
                write(root, guest, "/etc/cloud/cloud.cfg.d/90.cfg", f"datasource_list: {datasources}\n")
            for seed in seeds:
                write(root, guest, f"/var/lib/cloud/seed/{seed}/meta-data", "instance-id: i-1\n")
                write(root, guest, f"/var/lib/cloud/seed/{seed}/user-data", "#cloud-config\n")
            expected = Context(guest).system.cloud_init.expected_datasource
            assert expected == asked(identify, root).removeprefix("off"), (datasources, seeds)
            count += 1
    print(f"ds-identify: {count} configurations, none called wrongly")


ALL = "datasource_list: [ MAAS, ConfigDrive, NoCloud, Azure, None ]\n"
POLICIES = (
    "",
    "policy: disabled\n",
    "policy: enabled\n",
    "datasource: Azure\n",
    "policy: search,found=first,notfound=enabled # as ever\n",
    "policy: 'search,notfound=disabled'\nother: thing\n",
)
LINES = (
    "",
    "ds=nocloud",
    "ds=nocloud-net;i=i-9",
    "ci.ds=GCE",
    "ci.datasource=Ec2",
    "ci.di.policy=disabled",
    "ci.di.policy=search,notfound=enabled",
    "ds=other",
)
CONTENTS: tuple[dict[str, str], ...] = (
    {},
    {"label": "cidata"},
    {"label": "CIDATA"},
    {"label": "Cidata"},
    {"label": "config-2"},
    {"label": "CONFIG-2"},
    {"/var/lib/cloud/seed/nocloud/meta-data": "instance-id: i-1\n"},
    {"/var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json": '{"uuid": "i-2"}'},
    {"/etc/cloud/cloud.cfg.d/95.cfg": "datasource:\n  NoCloud:\n    user-data: x\n    meta-data: {a: b}\n"},
    {"/etc/cloud/cloud.cfg.d/95.cfg": "datasource:\n  NoCloud:\n    seedfrom: /srv/seed/\n"},
)
_SEED = {"meta-data": b"", "user-data": b"", "openstack/latest/meta_data.json": b"{}"}


def guest_with(identify: Path, line: str, label: str) -> MemoryGuest:
    """A guest whose generator asks that ds-identify, started with these parameters."""
    device = BlockDevice("/dev/sdb", DeviceKind.DISK, 1 << 20, content="vfat", label=label)
    guest = MemoryGuest(
        block=BlockDevices(devices=(device,) if label else ()),
        os=OperatingSystem("debian", "12", "Debian", "x86_64", "deb"),
    )
    guest.volumes["/dev/sdb"] = _SEED
    guest.file("/usr/lib/systemd/systemd", b"x")
    guest.file("/usr/bin/cloud-init", "x", mode=0o755)
    guest.file("/usr/lib/systemd/system-generators/cloud-init-generator", "x", mode=0o755)
    guest.file("/usr/lib/cloud-init/ds-identify", identify.read_bytes(), mode=0o755)
    guest.file("/boot/vmlinuz-6.1", b"x")
    quoted = f'"{line}"' if ";" in line else line
    entry = f"menuentry 'Linux' {{\n linux /boot/vmlinuz-6.1 root=/dev/vda {quoted}\n}}\n"
    guest.file("/boot/grub/grub.cfg", entry)
    return guest


def test_policy_command_line_and_volumes(identify: Path, tmp_path: Path) -> None:
    wrong, count = [], 0
    for policy, line in [
        *((p, "") for p in POLICIES),
        *(("", each) for each in LINES[1:]),
        (POLICIES[1], LINES[6]),
    ]:
        for content in CONTENTS:
            root, label = tmp_path / str(count), content.get("label", "")
            guest = guest_with(identify, line, label)
            for folder in ("run", "proc", "sys/class/dmi/id", "var/lib/cloud/seed"):
                (root / folder).mkdir(parents=True)
            (root / "proc/cmdline").write_text(f"root=/dev/vda {line}\n")
            write(root, guest, "/etc/cloud/cloud.cfg", "users: [ default ]\n")
            write(root, guest, "/etc/cloud/cloud.cfg.d/90.cfg", ALL)
            if policy:
                write(root, guest, "/etc/cloud/ds-identify.cfg", policy)
            for path, text in content.items():
                if path.startswith("/"):
                    write(root, guest, path, text)
            cloud = Context(guest).system.cloud_init
            expected = cloud.expected_datasource
            if cloud.disabled_by or (not expected and not cloud.identify.if_nothing):
                expected = "off"
            if cloud.identify.mode == "enabled":
                expected = ""  # it is not asked for anything then
            said = asked(identify, root, label)
            if said != expected:
                wrong.append((policy, line, content, said, expected))
            count += 1
    print(f"ds-identify: {count - len(wrong)} of {count} with policies, parameters and volumes agree")
    assert not wrong, wrong[:5]
