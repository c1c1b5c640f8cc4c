"""What is said of a real guest for several platforms at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.program import report_of

pytestmark = pytest.mark.image

NAMES = (
    "kvm,openstack,aws-nitro,aws-xen,azure-gen1,azure-gen2,azure-nvme,gce,alibaba,tencent,huawei,vmware,"
    "virtualbox,hyper-v"
)
FITS = {"kvm": True, "huawei": True} | dict.fromkeys(
    (
        "openstack", "aws-nitro", "aws-xen", "azure-gen1", "azure-gen2", "azure-nvme", "gce", "alibaba",
        "tencent", "vmware", "virtualbox", "hyper-v",
    ),
    False,
)  # fmt: skip
DOMAIN = """<domain type='kvm'><os firmware='efi'><type>hvm</type></os><devices>
<disk type='file' device='disk'><source file='/x'/><target dev='sda' bus='usb'/></disk>
<interface type='bridge'><model type='virtio'/></interface></devices></domain>
"""


def test_a_debian_server_and_all_platforms(debian_image: Path, tmp_path: Path) -> None:
    """BIOS and UEFI, virtio and all drivers, no cloud-init, swap, qcow2; and a machine that nobody knows."""
    (tmp_path / "odd.xml").write_text(DOMAIN)
    machine = ("--machine", str(tmp_path / "odd.xml"))
    status, report = report_of("scan", debian_image, "--platform", NAMES, *machine, "--no-cause")
    image = report["images"][0]
    assert {p["name"]: p["fits"] for p in image["platforms"]} == {**FITS, "odd": None}
    against = {
        name: {
            f["rule"]
            for f in image["findings"]
            if name in f.get("platforms", ()) and f["severity"] in {"error", "warning"}
        }
        for name in FITS
    }
    missing, container = "platform/agent-missing", "platform/container"
    assert against == {
        "kvm": set(),
        "huawei": set(),
        "openstack": {missing},
        "alibaba": {missing},
        "tencent": {missing},
        "aws-nitro": {missing, container},
        "aws-xen": {missing, container},
        "gce": {missing, container},
        "azure-gen1": {missing, container, "platform/swap"},
        "azure-gen2": {missing, container, "platform/swap"},
        "azure-nvme": {missing, container, "platform/swap"},
        "vmware": {container},
        "virtualbox": {container},
        "hyper-v": {container},
    }
    assert (status, [i["analyzer"] for i in image["inconclusive"]]) == (3, ["platform"])
    findings = [(f["rule"], f["subject"]) for f in image["findings"]]
    assert len(findings) == len(set(findings))
