"""Findings for content: digests against the database, links that lead elsewhere, paths of another kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from guestrepair.analyzers.base import Context, Rule
from guestrepair.analyzers.packages.effects import worst_effect
from guestrepair.analyzers.packages.missing import being_unpacked
from guestrepair.analyzers.packages.packaged import (
    RESTORED,
    described,
    expectation,
    is_documentation,
    is_executable_place,
    severity_of_loss,
)
from guestrepair.analyzers.packages.survey import CHUNK, should_have_content
from guestrepair.guest.view import Stat
from guestrepair.model import (
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    PackagedKind,
    Repair,
    Safety,
    Severity,
    Subject,
)
from guestrepair.packages.base import Flag, Package, PackageDatabase, PackagedFile
from guestrepair.system.contents import Comparison
from guestrepair.system.fact import Unreadable, attempt
from guestrepair.system.files import Files
from guestrepair.system.guest_system import System

FILE_CHANGED = Rule(
    name="packages/file-changed",
    summary="a packaged file is not what the package shipped",
    severities=(Severity.ERROR, Severity.WARNING, Severity.NOTE),
    effect=Effect.DEGRADES,
    safeties=(Safety.REVIEW, Safety.SAFE, Safety.MANUAL),
    what="The digest of a packaged file differs from the database's, a link leads elsewhere, or "
    "something else lies in its place. Configuration files may differ. How many files are hashed is "
    "chosen with --digests: none, critical (programs and libraries of the packages that boot and "
    "login need), all.",
    why="A damaged or replaced program may crash, or do what an intruder wants.",
    repair=RESTORED + " Only after review, since somebody may have changed it on purpose; without, where "
    "the content itself shows damage: an ELF file that ends before the data that its headers name, a "
    "program that begins with nothing but NUL bytes.",
    example="printf x >> /usr/sbin/sshd",
    sources=("deb-md5sums(5)", "rpm: lib/verify.c"),
)
RULES = (FILE_CHANGED,)

_NOT_HASHED = frozenset({Flag.CONFIG, Flag.GHOST, Flag.REPLACED, Flag.WRONG_COLOR, Flag.NO_DIGEST})


def changed_files(context: Context) -> Iterator[Finding | Inconclusive]:
    """Files whose digest differs: all, or the programs and libraries that boot and login need."""
    system = context.system
    if system.packaged is None or context.options.digests == "none":
        return
    only = None if context.options.digests == "all" else system.boot_packages
    unread = 0
    first = ""
    for _, found in compared(context, lambda file: _is_hashed(file, only)):
        for file, digest in found.changed:
            yield _changed(system, system.packaged.database, file, digest)
        unread += len(found.unread)
        first = first or next((file.path for file in found.unread), "")
    if unread:
        yield Inconclusive(
            "packages", f"{unread} packaged files could not be read to be hashed, {first} first"
        )


def compared(context: Context, is_wanted: Callable[[PackagedFile], bool]) -> Iterator[tuple[int, Comparison]]:
    """The wanted packaged files hashed, chunk by chunk: how many of them were, and what differs."""
    system, done = context.system, 0
    stream = (file for file in system.packaged.files() if is_wanted(file)) if system.packaged else iter(())
    while chunk := list(islice(stream, CHUNK)):
        there = _with_content(system.files, chunk)
        yield len(there), system.contents.compare(there)
        done += len(chunk)
        context.progress(f"{done} packaged files hashed")


def _is_hashed(file: PackagedFile, only: frozenset[Package] | None) -> bool:
    # apk does not tell links from files: which of them is hashed, what is there decides.
    kinds = (PackagedKind.FILE, PackagedKind.OTHER)
    if not file.digest or file.kind not in kinds or file.flags & _NOT_HASHED:
        return False
    if only is None:
        return True
    return file.package in only and is_executable_place(file.path)


def _with_content(files: Files, chunk: list[PackagedFile]) -> list[PackagedFile]:
    """Those that are regular files with some; one that lost it has a finding of its own."""
    stats = files.lstats(file.path for file in chunk)
    return [
        file
        for file in chunk
        if (stat := stats[file.path]) is not None
        and stat.is_file
        and (stat.size_bytes or not should_have_content(file))
    ]


def _changed(system: System, database: PackageDatabase, file: PackagedFile, observed: str) -> Finding:
    severity = Severity.NOTE if is_documentation(file) else Severity.WARNING
    program = is_executable_place(file.path)
    if program:
        severity = Severity.ERROR
    path = GuestPath(file.path)
    damage = attempt(lambda: system.contents.damage(path, is_program=program))
    # Damage that cannot be shown is a change: somebody may have wanted it.
    broken = "" if isinstance(damage, Unreadable) else damage
    evidence = [expectation(database, file, observed)]
    if broken:
        evidence.append(Evidence(f"content of {path}", broken, "a whole file"))
    return FILE_CHANGED.finding(
        Subject.of_path(path),
        f"{path} of {described(file)} is {'damaged' if broken else 'not the packaged file'}: "
        f"{broken or 'its content differs'}",
        severity=severity,
        evidence=tuple(evidence),
        repair=Repair(
            f"restore {path}",
            Safety.SAFE if broken and file.package not in being_unpacked(database) else Safety.REVIEW,
            (file.restore(system.files),),
        ),
        effect=worst_effect(system, (path,)),
    )


def wrong_targets(
    files: Files, database: PackageDatabase, wrong: Sequence[tuple[PackagedFile, str]]
) -> Iterator[Finding]:
    """Packaged links that lead elsewhere than the package says; configuration may."""
    for file, target in wrong:
        if Flag.CONFIG in file.flags or "/alternatives/" in target:
            continue
        yield FILE_CHANGED.finding(
            Subject.of_path(GuestPath(file.path)),
            f"the link {file.path} of {described(file)} leads to {target}, not to {file.link_target}",
            severity=Severity.NOTE if is_documentation(file) else Severity.WARNING,
            evidence=(
                Evidence(f"{database.format} database, {described(file)}", target, file.link_target or ""),
            ),
            repair=Repair(
                f"make the link {file.path} → {file.link_target} again",
                Safety.REVIEW,
                (file.restore(files),),
            ),
        )


def wrong_kinds(
    system: System, database: PackageDatabase, wrong: Sequence[tuple[PackagedFile, Stat]]
) -> Iterator[Finding]:
    """Something else lies where a packaged path should be; what it is worth only a person can say."""
    for file, stat in wrong:
        observed = _kind_word(stat)
        yield FILE_CHANGED.finding(
            Subject.of_path(GuestPath(file.path)),
            f"{file.path} of {described(file)} is a {observed}, not a {file.kind}",
            severity=Severity.NOTE if Flag.CONFIG in file.flags else severity_of_loss(file),
            evidence=(expectation(database, file, observed),),
            repair=_replacement(system.files, file, stat),
            effect=worst_effect(system, (file.path,)),
        )


def _replacement(files: Files, file: PackagedFile, stat: Stat) -> Repair:
    if stat.is_directory or file.kind is PackagedKind.DIRECTORY:
        return Repair(f"move it away and restore {file.path} in its place", Safety.MANUAL)
    return Repair(f"restore {file.path} in its place", Safety.REVIEW, (file.restore(files),))


def _kind_word(stat: Stat) -> str:
    if stat.is_symlink:
        return "symbolic link"
    if stat.is_directory:
        return "directory"
    return "regular file" if stat.is_file else "special file"
