"""The programs, libraries and PAM modules that sshd needs once somebody connects.

``sshd -t`` and a running listener say nothing of them: the login fails.
"""

from __future__ import annotations

from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.inconclusive import inconclusive, unmounted
from guestrepair.analyzers.sshd.repairs import make_executable, restore_packaged, restore_repair, safety_of
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    Repair,
    RestoreFile,
    Safety,
    Severity,
    Subject,
)
from guestrepair.system.sshd.programs import Program, Role
from guestrepair.system.sshd.sshd import Sshd

HELPER_MISSING = Rule(
    name="sshd/helper-missing",
    summary="sshd itself, or a program that it starts for each connection, is missing",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="sshd, another program that its unit starts, sshd-session (from OpenSSH 9.8 on), sshd-auth (from"
    " 10.0 on) or the program of a Subsystem is not there, is empty or is not executable.",
    why="sshd may start, and `sshd -t` of several releases passes, but connections or file transfers end.",
    repair="Restore the packaged program, or make it executable; for review where its package was not"
    " unpacked to its end.",
    example="rm /usr/lib/openssh/sshd-session",
    sources=("OpenSSH sshd.c, main()", "sshd_config(5), Subsystem, SshdSessionPath"),
)

LIBRARY_MISSING = Rule(
    name="sshd/library-missing",
    summary="a library or PAM module that a login needs is missing",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="A library that sshd, its helpers or the PAM modules of its service need cannot be found by the"
    " rules of the dynamic loader; or /etc/pam.d/sshd, a file that it includes or a module that it"
    " names is"
    " not there. Modules that may lack (a leading -, module_unknown=ignore) are no finding.",
    why="sshd does not start, or every login fails after the password or key was right.",
    repair="Restore the packaged file.",
    example="rm /lib/x86_64-linux-gnu/security/pam_loginuid.so",
    sources=("ld.so(8)", "pam.d(5)", "Linux-PAM libpam/pam_handlers.c"),
)

LIBRARY_DIRECTORIES = tuple(
    GuestPath(p)
    for p in (
        "/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/lib",
        "/usr/lib/aarch64-linux-gnu", "/lib/aarch64-linux-gnu",
    )
)  # fmt: skip


_EFFECTS = {
    Role.SERVER: "nothing listens",
    Role.UNIT: "sshd's unit fails, and nothing listens",
    Role.HELPER: 'every connection ends ("does not exist or is not executable")',
    Role.SUBSYSTEM: "the subsystem {subsystem} fails (sftp, and scp from OpenSSH 9 on)",
}


def check_helpers(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """helper-missing."""
    for program in sshd.programs:
        hidden = unmounted(sshd, program.path, str(program.path))
        if hidden is not None:
            yield hidden
            continue
        found = sshd.files.stat(program.path)
        if found is None or not found.is_file or not found.size_bytes:
            observed = "not there" if found is None else "not a program" if not found.is_file else "empty"
            yield _finding(
                program, observed + _half_unpacked(sshd, program), restore_repair(sshd, program.path)
            )
        elif not found.permissions & 0o111:
            repair = make_executable(sshd, program.path, found)
            yield _finding(program, f"not executable (mode {found.permissions:04o})", repair)


def _half_unpacked(sshd: Sshd, program: Program) -> str:
    """Says that dpkg or rpm was stopped before it gave the new program its name."""
    path = program.path
    left = [
        *sshd.files.glob(path.parent, f"{path.name}.dpkg-new"),
        *sshd.files.glob(path.parent, f"{path.name};*"),
    ]
    return f" (beside it lies {left[0].name}: the package was not unpacked to its end)" if left else ""


def _finding(program: Program, observed: str, repair: Repair) -> Finding:
    effect = _EFFECTS[program.role].replace("{subsystem}", program.subsystem)
    return HELPER_MISSING.finding(
        Subject.of_path(program.path),
        f"{program.path} is {observed}: {effect}",
        evidence=(
            Evidence(str(program.path), observed, "an executable program"),
            Evidence(program.source, str(program.path)),
        ),
        repair=repair,
    )


def check_libraries(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """library-missing, as far as shared libraries go; PAM has a module of its own."""
    libraries = sshd.libraries
    yield from map(inconclusive, libraries.unread)
    for problem in libraries.unresolved:
        if libraries.unread and not problem.found:
            continue  # it may be in a directory that is not known
        if str(problem.path) == problem.found and problem.root == problem.path:
            continue  # the program itself is no ELF file or is damaged: the packages analyzer's finding
        change = _restore_library(sshd, problem.library)
        if change is not None:
            repair = Repair(
                f"restore {change.path} from {change.package} {change.version}",
                safety_of(sshd, change),
                (change,),
            )
        else:
            repair = Repair(f"bring {problem.library} back: no package of this guest lists it", Safety.MANUAL)
        yield LIBRARY_MISSING.finding(
            Subject.of_path(change.path if change is not None else GuestPath(problem.library)),
            f"{problem.root} cannot be loaded: {problem.path} needs {problem.library}, {problem.reason}",
            evidence=(Evidence(str(problem.path), f"NEEDED {problem.library}", problem.reason),),
            repair=repair,
        )


def _restore_library(sshd: Sshd, name: str) -> RestoreFile | None:
    if name.startswith("/"):
        return restore_packaged(sshd, GuestPath(name))
    for directory in LIBRARY_DIRECTORIES:
        path = directory / name
        found = sshd.files.lstat(path)
        if found is not None and found.is_symlink:
            target = GuestPath(sshd.files.readlink(path))
            change = restore_packaged(sshd, target if target.is_absolute() else directory / target)
        else:
            change = restore_packaged(sshd, path)
        if change is not None:
            return change
    return None
