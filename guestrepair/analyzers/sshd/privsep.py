"""The privilege separation directory and user, without which sshd does not start.

sshd checks both before it listens (sshd.c, main()): the user ``sshd`` must be in
passwd, and the directory compiled in must be there, be owned by root and be
writable by nobody else. Each failure is fatal, and every login is gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.inconclusive import unmounted
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Change,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeDirectory,
    Repair,
    Safety,
    SetMode,
    SetOwner,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.sshd.privsep import UNSAFE_BITS, Maker, PrivsepDirectory, is_volatile
from guestrepair.system.sshd.sshd import Sshd

PRIVSEP_DIR_MISSING = Rule(
    name="sshd/privsep-dir-missing",
    summary="sshd's privilege separation directory is not there",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE,),
    what="The empty directory that sshd confines its unauthenticated part to is not there, or is no"
    " directory. Which one that is, is read from the guest's own sshd binary; one under /run has to be"
    " made at boot by sshd's unit, tmpfiles.d or the init script; it is reported when none does.",
    why='sshd checks it before it listens and exits with "Missing privilege separation directory":'
    " nobody can log in.",
    repair="Make the directory, root:root, with the mode that its package gives it; for one under /run,"
    " a line in /etc/tmpfiles.d.",
    example="rmdir /var/empty/sshd on CentOS 7",
    sources=("sshd(8), FILES", "OpenSSH sshd.c, main()", "systemd.exec(5), RuntimeDirectory="),
)

PRIVSEP_DIR_UNSAFE = Rule(
    name="sshd/privsep-dir-unsafe",
    summary="sshd's privilege separation directory has the wrong owner or is writable by others",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="The privilege separation directory is not owned by root, or group or others may write to it; or"
    " what makes it in /run at boot (RuntimeDirectoryMode= of sshd's unit, a tmpfiles.d line) has it so.",
    why='sshd exits with "must be owned by root and not group or world-writable": nobody can log in.',
    repair="root:root and the mode of the package database; where that has none (dpkg), the mode that the"
    " distribution's package is known to give.",
    example="chmod 777 /var/empty/sshd",
    sources=("OpenSSH sshd.c, main()",),
)


def check_directory(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """privsep-dir-missing and privsep-dir-unsafe."""
    if sshd.privsep_disabled:
        return
    directory = sshd.privsep_directory
    hidden = unmounted(sshd, directory.path, f"the privilege separation directory {directory.path}")
    if hidden is not None:
        yield hidden
        return
    if is_volatile(sshd.privsep_place):
        maker = sshd.privsep_maker
        if maker is None:
            yield _nothing_creates(directory)
        elif not maker.is_safe:
            yield _made_loose(directory, maker)
        return
    found = sshd.files.stat(directory.path)
    if found is None or not found.is_directory:
        if sshd.privsep_maker is None:
            yield _missing(sshd, directory)
    elif found.uid != 0 or found.permissions & UNSAFE_BITS:
        yield _unsafe(sshd, directory, found)


def _made_loose(directory: PrivsepDirectory, maker: Maker) -> Finding:
    file = maker.file
    subject = Subject.of_line(file, maker.line) if maker.line else Subject.of_path(file)
    return PRIVSEP_DIR_UNSAFE.finding(
        subject,
        f'sshd will not start: "{directory.path} must be owned by root and not group or'
        f' world-writable." ({subject} makes it at every boot with {maker.setting})',
        evidence=(Evidence(subject, maker.setting, f"mode {directory.mode:04o}"),),
        repair=Repair(f"write mode {directory.mode:04o} in {file} by hand", Safety.MANUAL),
    )


def _nothing_creates(directory: PrivsepDirectory) -> Finding:
    path = directory.path
    line = f"d {path} {directory.mode:04o} root root -\n"
    return PRIVSEP_DIR_MISSING.finding(
        Subject.of_path(path),
        f"sshd will not start: nothing creates its privilege separation directory {path} at boot"
        f' ("Missing privilege separation directory: {path}")',
        evidence=(
            Evidence(directory.source, f"sshd uses {path}", ""),
            Evidence(
                "sshd's units, tmpfiles.d, init script",
                f"none of them makes {path}, and /run is empty at boot",
                f"RuntimeDirectory= of sshd's unit, or a tmpfiles.d line for {path}",
            ),
        ),
        repair=Repair(
            f"have systemd-tmpfiles make {path} at boot",
            Safety.SAFE,
            (
                WriteFile(
                    path=GuestPath("/etc/tmpfiles.d/sshd-privsep.conf"), before=None, after=line.encode()
                ),
            ),
        ),
    )


def _missing(sshd: Sshd, directory: PrivsepDirectory) -> Finding:
    path = sshd.privsep_place
    there = sshd.files.lstat(path)
    if there is None:
        observed, replace = "no such directory", ""
    elif there.is_symlink:
        observed, replace = f"a link to {sshd.files.readlink(path)}, which leads to no directory", "file"
    else:
        observed, replace = "not a directory", "file"
    return PRIVSEP_DIR_MISSING.finding(
        Subject.of_path(directory.path),
        f'sshd will not start: "Missing privilege separation directory: {directory.path}" ({observed})',
        evidence=(
            Evidence(directory.source, f"sshd uses {directory.path}", ""),
            Evidence(str(directory.path), observed, f"a directory, root:root {directory.mode:04o}"),
        ),
        repair=Repair(
            f"make {path} (root:root {directory.mode:04o})",
            Safety.SAFE,
            (*_parents(sshd, path), MakeDirectory(path=path, mode=directory.mode, replace=replace)),
        ),
    )


def _parents(sshd: Sshd, path: GuestPath) -> Iterator[Change]:
    # A parent that is there and no directory has to go first; one that lacks is made by MakeDirectory itself.
    for parent in [p for p in path.parents if p != GuestPath("/")][::-1]:
        found = sshd.files.lstat(parent)
        if found is None:
            return
        if not found.is_directory and not sshd.files.is_directory(parent):
            yield MakeDirectory(path=parent, mode=0o755, replace="file")
            return


def _unsafe(sshd: Sshd, directory: PrivsepDirectory, found: Stat) -> Finding:
    target = sshd.files.resolve(directory.path) or directory.path
    changes: list[Change] = []
    if found.uid != 0 or found.gid != 0:
        changes.append(SetOwner(path=target, before=(found.uid, found.gid), after=(0, 0)))
    if found.permissions != directory.mode:
        changes.append(SetMode(path=target, before=found.permissions, after=directory.mode))
    observed = f"uid {found.uid}, gid {found.gid}, mode {found.permissions:04o}"
    return PRIVSEP_DIR_UNSAFE.finding(
        Subject.of_path(directory.path),
        f'sshd will not start: "{directory.path} must be owned by root and not group or'
        f' world-writable." (it has {observed})',
        evidence=(
            Evidence(directory.source, f"sshd uses {directory.path}", ""),
            Evidence(str(target), observed, f"uid 0, gid 0, mode {directory.mode:04o}"),
        ),
        repair=Repair(f"set {target} to root:root {directory.mode:04o}", Safety.SAFE, tuple(changes)),
    )
