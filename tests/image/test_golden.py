"""Golden images: all that is planted is found, sealed, and put back bit for bit; virt-sysprep judges, too."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import fixtures
from fixtures.faults.golden import BY_HAND, TEXTS
from guestrepair.appliance.acceleration import Acceleration, acceleration
from tests.support.program import Outcome, guestrepair, run

pytestmark = [pytest.mark.image, pytest.mark.long]

GOLDEN = ("--profile", "golden", "--no-cause")
RULES = {
    "machine-id", "ssh-host-key", "storage-identity", "subscription", "domain-membership", "hostname",
    "authorized-keys", "password", "credentials", "service-keys", "build-user-sudo", "cloud-init-state",
    "cloud-init-generated", "pinned-mac", "static-address", "history", "logs", "dhcp-lease", "random-seed",
    "package-cache", "temporary-files", "crash-dump", "account-copy", "installer-traces", "lvm-records",
    "spool", "backup-copy", "end-of-life", "no-time-sync", "no-serial-console", "unzeroed-space",
}  # fmt: skip
"""Every rule of the profile but the one on moved directories."""

BY_A_PERSON = {
    "storage-identity", "service-keys", "build-user-sudo", "static-address", "end-of-life", "no-time-sync",
    "unzeroed-space",
}  # fmt: skip
"""What is left of a sealed image: nothing makes it again, or nobody knows what it should be."""

NOT_SYSPREP = {
    "machine-id",  # one is there afterwards, though it empties it: the same for every copy
    "random-seed",  # one is there afterwards, too
    "logs",  # those in directories of applications, by names that it does not list
    "dhcp-lease",  # NetworkManager's secret_key
    "lvm-records",  # the archive; it removes system.devices alone
    "backup-copy",  # by a name that only this program gives
    "subscription",  # waagent's state; subscription-manager's on Debian
    "build-user-sudo",
    "cloud-init-generated",
    "cloud-init-state",
    "credentials",
    "end-of-life",
    "hostname",
    "no-serial-console",
    "no-time-sync",
    "password",
    "service-keys",
    "static-address",
    "storage-identity",
    "unzeroed-space",  # virt-sparsify's work
}
"""What virt-sysprep 1.48 leaves, by its own list or since it does not know of it."""


def golden(outcome: Outcome) -> set[str]:
    """The rules of the profile with findings that are open."""
    rules = {f["rule"] for f in outcome.report["findings"] if f["status"] != "repaired"}
    return {rule.partition("/")[2] for rule in rules if rule.startswith("golden/")}


def test_it_is_found_sealed_and_put_back(planted_image: Path, tmp_path: Path) -> None:
    image, state = tmp_path / "image.qcow2", tmp_path / "state"
    shutil.copyfile(planted_image, image)
    assert golden(guestrepair("scan", *GOLDEN, image)) == RULES
    sealed = guestrepair("repair", *GOLDEN, "--yes", "--all", "--state-dir", state, image)
    assert sealed.status == 1, sealed.stderr  # what a person has to decide about is left
    after = guestrepair("scan", *GOLDEN, image)
    assert golden(after) == BY_A_PERSON
    open_repairs = [f["repair"] for f in after.report["findings"] if f["rule"].startswith("golden/")]
    assert {repair["safety"] for repair in open_repairs} == {"manual"}
    seen = fixtures.copy_of(image, tmp_path / "seen.qcow2")  # to mount it writes to it, which undo would see
    with fixtures.edit(seen) as guest:
        left = [path for path in TEXTS if guest.exists(path) and guest.filesize(path)]
        assert left == []
        assert all(guest.filesize(path) for path in BY_HAND)
        assert guest.exists("/var/log/messages")  # a log that is written to is emptied
        assert guest.filesize("/etc/machine-id") == 0
        assert not [name for name in guest.find("/etc") if ".guestrepair-" in name]
    undone = run("undo", "--yes", "--state-dir", state, image)
    assert undone.returncode == 0, undone.stderr
    compared = ["qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", str(planted_image), str(image)]
    subprocess.run(compared, check=True, stdout=subprocess.DEVNULL)


@pytest.mark.skipif(shutil.which("virt-sysprep") is None, reason="no virt-sysprep (guestfs-tools) here")
def test_what_virt_sysprep_has_cleaned_is_clean_but_for_what_it_does_not_do(
    planted_image: Path, tmp_path: Path
) -> None:
    image = tmp_path / "image.qcow2"
    shutil.copyfile(planted_image, image)
    environment = {**os.environ, "LIBGUESTFS_BACKEND": "direct"}
    if acceleration().acceleration is Acceleration.TCG:
        environment["LIBGUESTFS_BACKEND_SETTINGS"] = "force_tcg"
    command = ["virt-sysprep", "--quiet", "--format", "qcow2", "-a", str(image)]
    subprocess.run(command, check=True, timeout=900, env=environment)
    left = golden(guestrepair("scan", *GOLDEN, "--only", "golden", image))
    assert left == NOT_SYSPREP
