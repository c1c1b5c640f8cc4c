"""Which datasource cloud-init will use, against its own ds-identify on the same files."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from guestrepair.analyzers.base import Context
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


def asked(identify: Path, root: Path) -> str:
    """The first datasource that it finds; "" for none."""
    environment = {**os.environ, "PATH_ROOT": str(root), "DI_BLKID_EXPORT_OUT": "DEVNAME=/dev/vda"}
    subprocess.run(["sh", str(identify), "--force"], env=environment, capture_output=True, check=False)
    written = (root / "run/cloud-init/cloud.cfg").read_text()
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
            assert expected == asked(identify, root), (datasources, seeds)
            count += 1
    print(f"ds-identify: {count} configurations, none called wrongly")
