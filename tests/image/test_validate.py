"""validate on a real guest: each kind of requirement, ignores, and a baseline that is written and then used.

The oracle of what is required is what the guest was built from, and what dpkg-query says of packages.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.image.conftest import Damaged
from tests.support.program import run

pytestmark = pytest.mark.image

POLICY = """
[policy]
profile = "machine"

[severity]
"sshd/*" = "warning"

[[ignore]]
rule = "fstab/source-not-found"
subject = "/etc/fstab"
reason = "the disk is lent"

[[ignore]]
rule = "fstab/source-not-found"
subject = "/etc/crypttab"
reason = "hides nothing"

[[ignore]]
rule = "sshd/*"
reason = "should be settled by now"
expires = 2020-01-01

[[require]]
path = "/etc/passwd"
type = "file"
mode = "0644"
owner = "root"
group = "root"
matches = "root:*:/bin/bash"
contains = "sshd:"

[[require]]
path = ["/etc/hostname"]
digest = "sha256:%s"
mode = "0600"
contains = "ACME"

[[require]]
path-absent = ["/etc/nologin", "/etc/issue"]
package = ["openssh-server", "telnetd"]
version = ">= 1:9.2, < 1:10"
package-absent = ["cups", "sudo"]
service-enabled = ["ssh", "cups"]
service-disabled = ["telnet.socket", "cron"]
account = ["root", "vagrant"]
account-absent = ["packer", "daemon"]
kernel-parameter = ["root", "console=ttyS0*", "mitigations=auto"]
kernel-parameter-absent = ["mitigations=off", "ro"]
severity = "note"
"""
HOSTNAME = hashlib.sha256(b"debian-server\n").hexdigest()
MISSED = {
    "/etc/hostname", "/etc/issue", "package telnetd", "package sudo", "unit cups.service",
    "unit cron.service", "account vagrant", "account daemon", "kernel parameter mitigations=auto",
    "kernel parameter ro",
}  # fmt: skip


def report_of(directory: Path, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    done = run("validate", "--policy", directory / "p.toml", "--format", "json", "--no-cause", *arguments)
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def known(image: dict[str, Any], kind: str) -> set[str]:
    return {f["rule"] for f in image["findings"] if f.get("suppressed", {}).get("kind") == kind}


def test_requirements_ignores_and_a_baseline(damaged: Damaged, tmp_path: Path) -> None:
    image = damaged(["fstab-wrong-uuid", "sshd-host-keys"])
    before = hashlib.sha256(image.read_bytes()).hexdigest()
    policy, baseline = tmp_path / "p.toml", tmp_path / "known.json"
    policy.write_text(POLICY % HOSTNAME)

    status, document = report_of(tmp_path, "--write-baseline", baseline, image)
    (found,) = document["images"]
    assert found["inconclusive"] == []
    assert {f["subject"] for f in found["findings"] if f["rule"] == "policy/require"} == MISSED
    (hostname,) = [f for f in found["findings"] if f["subject"] == "/etc/hostname"]
    assert [e["observed"] for e in hostname["evidence"]] == ["mode 0644", "no text 'ACME' is in it"]
    assert known(found, "ignore") == {"fstab/source-not-found"}
    own = {(f["rule"], f["subject"]) for f in found["findings"] if f["rule"].startswith("policy/ignore")}
    assert own == {
        ("policy/ignore-unused", "fstab/source-not-found@/etc/crypttab"),
        ("policy/ignore-expired", "sshd/*"),
    }
    assert {f["severity"] for f in found["findings"] if f["analyzer"] == "sshd"} == {"warning"}
    assert document["summary"]["suppressed"] == 1
    assert status == 1

    second = image.with_name("other-name.qcow2")
    image.rename(second)
    status, document = report_of(tmp_path, "--baseline", baseline, "--write-baseline", baseline, second)
    (found,) = document["images"]
    unknown = {f["rule"] for f in found["findings"] if "suppressed" not in f}
    assert unknown == {"policy/ignore-unused", "policy/ignore-expired"}
    assert {"policy/require"} < known(found, "baseline")
    assert status == 1  # an ignore that has expired is said until somebody takes it out
    assert hashlib.sha256(second.read_bytes()).hexdigest() == before
