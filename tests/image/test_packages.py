"""Lost package files on real guests: found as dpkg and rpm find them, and brought back."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import fixtures
from guestrepair.packages.aliases import usr_form
from tests.support.program import report_of

pytestmark = [pytest.mark.image, pytest.mark.long]
LIBRARIES = "/usr/lib/x86_64-linux-gnu"


def found_paths(report: Any, *rules: str) -> set[str]:
    findings = [f for f in report["images"][0]["findings"] if f["rule"] in {f"packages/{r}" for r in rules}]
    return {f["subject"] for f in findings} | {x["subject"] for f in findings for x in f["folded"]}


def extracted(image: Path, into: Path) -> Path:
    """The guest's whole tree on this host, for judges that know nothing of images."""
    into.mkdir()
    with fixtures.edit(image) as g:
        g.tar_out("/", str(into.with_suffix(".tar")), xattrs=True, numericowner=True)
    archive = into.with_suffix(".tar")
    command = [
        "tar",
        "-xpf",
        str(archive),
        "-C",
        str(into),
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
    ]
    subprocess.run(command, check=True)
    archive.unlink()
    return into


def verified_by_dpkg(root: Path) -> set[str]:
    said = subprocess.run(["dpkg", "--verify", "--root", root], capture_output=True, text=True, check=False)
    # Findings name a file where it really lies; the database may still say /bin.
    return {usr_form(line[12:].strip()) for line in said.stdout.splitlines() if line[9:11].strip() != "c"}


def test_debian_lost_files_come_back_from_a_donor(debian_image: Path, tmp_path: Path) -> None:
    image = tmp_path / "broken.qcow2"
    fixtures.copy_of("debian-server", image)
    with fixtures.edit(image) as g:
        # Among them links of update-alternatives, which no package owns.
        programs = [n for n in g.ls("/usr/bin") if re.match(r"[a-z]", n)][::12][:40]
        assert "nawk" in programs
        for name in programs:
            g.rm(f"/usr/bin/{name}")
        for gone in ("ld-linux-x86-64.so.2", "security/pam_unix.so", "systemd/libsystemd-shared-252.so"):
            g.rm(f"{LIBRARIES}/{gone}")
        g.write("/usr/sbin/sshd", b"")
        g.truncate(f"{LIBRARIES}/libcrypto.so.3")
        g.rm("/lib64")
        g.chmod(0o755, "/usr/bin/su")
    before = extracted(image, tmp_path / "before")
    (before / "lib64").symlink_to("usr/lib64")  # dpkg cannot see behind the link; it has a finding of its own
    status, report = report_of("scan", image, "--only", "packages", "--digests", "all")
    assert status == 1
    assert found_paths(report, "usrmerge-link") == {"/lib64"}
    assert found_paths(report, "file-missing", "file-empty", "file-changed") == verified_by_dpkg(before)
    status, report = report_of("repair", image, "--yes", "--only", "packages", "--donor", debian_image)
    assert status == 0, report
    assert verified_by_dpkg(extracted(image, tmp_path / "after")) == set()
    healthy = extracted(fixtures.copy_of("debian-server", tmp_path / "healthy.qcow2"), tmp_path / "healthy")
    for name in programs:
        ours, theirs = tmp_path / "after/usr/bin" / name, healthy / "usr/bin" / name
        assert ours.lstat().st_mode == theirs.lstat().st_mode, name
        assert (ours.lstat().st_uid, ours.lstat().st_gid) == (theirs.lstat().st_uid, theirs.lstat().st_gid)
    assert (tmp_path / "after/usr/bin/su").stat().st_mode & 0o7777 == 0o4755


def _rightly_different(handle: fixtures.Handle) -> None:
    """What an administrator and dpkg's own tools rightly do: divert, override, exclude, edit, add."""
    handle.cp_a("/usr/bin/less", "/usr/bin/less.distrib")
    handle.write("/usr/bin/less", b"#!/bin/sh\nexec less.distrib\n")
    handle.write_append("/var/lib/dpkg/diversions", "/usr/bin/less\n/usr/bin/less.distrib\n:\n")
    handle.chmod(0o700, "/usr/bin/wget")
    handle.write_append("/var/lib/dpkg/statoverride", "root root 0700 /usr/bin/wget\n")
    slim = "path-exclude=/usr/share/doc/*\npath-include=/usr/share/doc/*/copyright\n"
    handle.write("/etc/dpkg/dpkg.cfg.d/slim", slim.encode())
    for path in handle.glob_expand("/usr/share/doc/[a-l]*/changelog*"):
        if handle.is_file(path):  # some folders are links to others
            handle.rm(path)
    handle.write_append("/etc/ssh/sshd_config", "# edited\n")
    handle.write("/usr/local/bin/mine", b"#!/bin/sh\n")
    handle.write("/usr/bin/not-packaged", b"#!/bin/sh\n")


def test_what_is_rightly_different_is_no_finding(tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    fixtures.copy_of("debian-server", image)
    with fixtures.edit(image) as g:
        _rightly_different(g)
    status, report = report_of("scan", image, "--only", "packages", "--digests", "all")
    assert (status, report["images"][0]["findings"]) == (0, [])


def attributes_of(image: Path, folder: Path) -> dict[str, tuple[int, int, int]]:
    """Mode, owner and group of everything in the image but links."""
    root = extracted(image, folder)
    found = {}
    for path in root.rglob("*"):
        stat = path.lstat()
        if not path.is_symlink():
            found[str(path.relative_to(root))] = (stat.st_mode, stat.st_uid, stat.st_gid)
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="owners are compared, which only root can unpack")
def test_one_chmod_and_one_chown_are_two_findings_and_are_undone_whole(
    debian_image: Path, tmp_path: Path
) -> None:
    image = tmp_path / "broken.raw"
    fixtures.copy_of("debian-server", image)
    with fixtures.edit(image) as g:
        # Not all of /usr/share: a call each, and what lies there is judged alike.
        for top in ("bin", "sbin", "libexec", "share/bash-completion", "lib/systemd", "lib/python3.11"):
            for found in g.find(f"/usr/{top}"):
                path = f"/usr/{top}/{found.lstrip('/')}"
                if g.is_symlink(path):
                    continue
                if top.startswith("lib/"):
                    g.chown(1000, 1000, path)
                else:
                    g.chmod(0o777, path)
    status, report = report_of("repair", image, "--yes", "--only", "packages", "--donor", debian_image)
    assert status == 0, report
    findings = report["images"][0]["findings"]
    assert {(f["rule"], f["subject"]) for f in findings if f["severity"] == "error"} == {
        ("packages/wrong-mode", "/usr"),
        ("packages/wrong-owner", "/usr/lib"),
    }
    healthy = attributes_of(fixtures.copy_of("debian-server", tmp_path / "healthy.raw"), tmp_path / "healthy")
    assert attributes_of(image, tmp_path / "after") == healthy


FILE_CONTEXTS = """\
/.*\tsystem_u:object_r:default_t:s0
/usr/bin(/.*)?\tsystem_u:object_r:bin_t:s0
/usr/lib(64)?/.*\tsystem_u:object_r:lib_t:s0
"""


def verified_by_rpm(root: Path) -> dict[str, str]:
    """What rpm itself finds, by path: ``missing``, or its letters without the time."""
    kind = "bdb_ro" if (root / "var/lib/rpm/Packages").exists() else "sqlite"
    command: list[str | Path] = [
        "rpm",
        "-Va",
        "--root",
        root,
        "--dbpath",
        "/var/lib/rpm",
        "--define",
        f"_db_backend {kind}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [
        re.match(r"(missing|[SM5DLUGTP.?]{9})\s+(?:[cdglr] )?\s*(/.*)", x) for x in done.stdout.splitlines()
    ]
    found = {match[2]: match[1].replace("T", ".").strip(".") for match in lines if match is not None}
    assert done.returncode in {0, 1}, done.stderr
    assert bool(found) or "cannot open" not in done.stderr, "rpm did not read the database"
    return {path: words for path, words in found.items() if words}


def _spoilt(handle: fixtures.Handle) -> None:
    for gone in ("/usr/bin/cat", "/usr/bin/ping", "/usr/sbin/agetty", "/usr/lib64/libpam.so.0", "/lib64"):
        handle.rm(gone)
    handle.rm_rf("/usr/lib64/security")
    handle.write("/usr/bin/ls", b"")
    handle.truncate_size("/usr/bin/su", 1000)
    handle.write_append("/etc/ssh/sshd_config", "# edited\n")
    for mode, path in ((0o755, "/usr/bin/sudo"), (0, "/usr/bin/bash"), (0o666, "/etc/pam.d/sshd")):
        handle.chmod(mode, path)
    handle.chown(1000, 1000, "/usr/bin/passwd")
    handle.chown(12, 34, "/usr/sbin/sshd")
    handle.mkdir_p("/etc/selinux/targeted/contexts/files")
    handle.write("/etc/selinux/config", b"SELINUX=permissive\nSELINUXTYPE=targeted\n")
    handle.write("/etc/selinux/targeted/contexts/files/file_contexts", FILE_CONTEXTS.encode())


@pytest.mark.skipif(os.geteuid() != 0, reason="rpm -Va compares owners, which only root can unpack")
@pytest.mark.parametrize("name", ["centos7-like", "rocky9-like"])
def test_rpm_files_modes_owners_and_capabilities_come_back(name: str, tmp_path: Path) -> None:
    image = tmp_path / "broken.qcow2"
    fixtures.copy_of(name, image)
    with fixtures.edit(image) as g:
        _spoilt(g)
    before = extracted(image, tmp_path / "before")
    judged = {p: w for p, w in verified_by_rpm(before).items() if not p.startswith("/boot/")}
    assert len(judged) > 50
    edited = {"/etc/ssh/sshd_config"}
    assert judged.keys() >= edited
    status, report = report_of("scan", image, "--only", "packages", "--digests", "all")
    assert status == 1
    content = {p for p, w in judged.items() if w == "missing" or set(w) & set("S5DL")}
    attributes = {p for p, w in judged.items() if w != "missing" and set(w) & set("MUGP")}
    lost = found_paths(report, "file-missing", "file-empty", "file-changed", "usrmerge-link")
    assert lost == content - edited
    # What is restored anyway need not be named twice.
    assert found_paths(report, "wrong-mode", "wrong-owner") - lost == attributes - lost
    rpms = next(fixtures.build(name).parent.glob("rpms"))
    status, report = report_of("repair", image, "--yes", "--only", "packages", "--packages", rpms)
    assert status == 0, report
    after = extracted(image, tmp_path / "after")
    left = {p: w for p, w in verified_by_rpm(after).items() if not p.startswith("/boot/")}
    assert left.keys() == edited
    with fixtures.edit(image) as g:
        labels = {
            path: next(x["attrval"] for x in g.lgetxattrs(path) if x["attrname"] == "security.selinux")
            for path in ("/usr/bin/cat", "/usr/lib64/security", "/usr/lib64/security/pam_unix.so")
        }
    assert [label.split(b":")[2] for label in labels.values()] == [b"bin_t", b"lib_t", b"lib_t"]
