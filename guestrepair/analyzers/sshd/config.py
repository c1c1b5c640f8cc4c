"""sshd_config: lines on which sshd would end, by the rules of the guest's own release.

A bad line is commented out, in the file that it stands in, and nothing else is
touched. Where that opens what an administrator closed (access lists, chroots,
Match blocks) the repair is for review.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from guestrepair.analyzers.sshd.config_source import DEFAULT_CONFIG
from guestrepair.analyzers.sshd.facts import SshdFacts
from guestrepair.formats.sshd_config import Problem, known_names
from guestrepair.formats.sshd_config.parse import logical_lines
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeDirectory,
    RemoveFile,
    Repair,
    RestoreFile,
    Safety,
    Severity,
    WriteFile,
)

TEMPLATES = tuple(
    GuestPath(p)
    for p in (
        "/usr/share/openssh/sshd_config",
        "/usr/share/doc/openssh/sshd_config",
        "/usr/etc/ssh/sshd_config",
    )
)
"""Copies of the packaged configuration that packages leave in the guest itself (Debian, SUSE)."""

RESTRICTING = frozenset(
    {
        "allowusers", "denyusers", "allowgroups", "denygroups", "chrootdirectory", "forcecommand", "match",
        "authenticationmethods", "authorizedkeyscommand", "authorizedprincipalscommand", "permitopen",
        "permitlisten",
    }
)  # fmt: skip
"""Keywords that narrow access: without the line more may be allowed than was meant."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
CANNOT_BE_OPENED = ": cannot be opened"


def check_config(facts: SshdFacts) -> Iterator[Finding | Inconclusive]:
    """config-missing, config-syntax, config-deprecated."""
    path = facts.config_path
    hidden = facts.unmounted_above(path)
    if hidden:
        yield facts.inconclusive(f"{path} was not examined: {hidden}")
        return
    if not facts.guest.is_file(path):
        yield _missing(facts, path)
        return
    for problem in (*facts.config.problems, *facts.settings.cross_problems()):
        yield _syntax(facts, problem)
    for line in facts.config.ignored:
        yield Finding(
            rule="sshd/config-deprecated",
            severity=Severity.NOTE,
            subject=f"{line.place.file}:{line.place.line}",
            message=f"{line.place.file} line {line.place.line}: OpenSSH {_dotted(facts)} ignores {line.name}",
            evidence=(Evidence(f"{line.place.file}:{line.place.line}", f"{line.name} {line.rest}".strip()),),
        )


def _dotted(facts: SshdFacts) -> str:
    return ".".join(map(str, facts.server.release))


def _missing(facts: SshdFacts, path: GuestPath) -> Finding:
    there = facts.guest.exists(path)
    observed = "not a regular file" if there else "no such file"
    repair = Repair("write a configuration by hand", Safety.MANUAL) if there else _restore_config(facts, path)
    return Finding(
        rule="sshd/config-missing",
        severity=Severity.ERROR,
        subject=str(path),
        message=f'sshd will not start: "{path}: No such file or directory" ({observed})',
        evidence=(Evidence(str(path), observed, "sshd's configuration"),),
        repair=repair,
    )


def _restore_config(facts: SshdFacts, path: GuestPath) -> Repair:
    directory: tuple[Change, ...] = ()
    if not facts.guest.is_directory(path.parent):
        directory = (MakeDirectory(path=path.parent, mode=0o755),)
    restore = restore_packaged(facts, path)
    template = next((t for t in TEMPLATES if path == DEFAULT_CONFIG and facts.read_optional(t)), None)
    if template is not None:
        write = WriteFile(path=path, before=None, after=facts.read_optional(template))
        return Repair(f"put the package's own {template} in its place", Safety.SAFE, (*directory, write))
    if restore is not None:
        return Repair(
            f"restore it from {restore.package} {restore.version}", Safety.SAFE, (*directory, restore)
        )
    return Repair("write a configuration: neither a package nor a template has one", Safety.MANUAL)


def restore_packaged(facts: SshdFacts, path: GuestPath) -> RestoreFile | None:
    """The change that brings a packaged file back, or None when no package lists it."""
    if facts.context.packages is None:
        return None
    for entry in facts.context.packages.lookup(str(path)):
        return RestoreFile(
            path=GuestPath(entry.path),
            package=entry.package.name,
            version=entry.package.version,
            architecture=entry.package.architecture,
            digest=entry.digest,
            file_kind=entry.kind,
            mode=entry.mode,
            owner=entry.owner,
            group=entry.group,
            link_target=entry.link_target,
            capabilities=entry.capabilities,
        )
    return None


def _syntax(facts: SshdFacts, problem: Problem) -> Finding:
    place = problem.place
    lines = logical_lines(facts.config.files[place.file])
    text = lines[place.line - 1][1].strip() if place.line <= len(lines) else ""
    close = ""
    if problem.message.startswith("Bad configuration option"):
        near = difflib.get_close_matches(problem.keyword.lower()[:80], known_names(), n=1, cutoff=0.8)
        close = f' (did it mean "{near[0]}"?)' if near else ""
    return Finding(
        rule="sshd/config-syntax",
        severity=Severity.ERROR,
        subject=f"{place.file}:{place.line}",
        message=f'sshd will not start: "{place.file} line {place.line}: {problem.message}"{close}',
        evidence=(
            Evidence(f"{place.file}:{place.line}", text[:500], f"what OpenSSH {_dotted(facts)} accepts"),
            Evidence("release", _dotted(facts), facts.server.release_source),
        ),
        repair=_repair(facts, problem),
    )


def _repair(facts: SshdFacts, problem: Problem) -> Repair:
    place = problem.place
    if problem.message.endswith(CANNOT_BE_OPENED):
        link = GuestPath(problem.message.removesuffix(CANNOT_BE_OPENED))
        found = facts.guest.lstat(link)
        if found is not None and found.is_symlink:
            return Repair(
                f"remove the link {link}, which leads nowhere", Safety.REVIEW, (RemoveFile(path=link),)
            )
    numbers = _lines_to_silence(facts, problem)
    resolved = facts.guest.resolve(GuestPath(place.file)) or GuestPath(place.file)
    before = facts.config.files[place.file]
    if place.offset_bytes == 0 and before.startswith(BYTE_ORDER_MARK):
        mark = Edit(offset=0, length=len(BYTE_ORDER_MARK), text=b"")
        change = EditFile(path=resolved, before=before, edits=(mark,))
        return Repair(f"take the byte-order mark off {place.file}", Safety.SAFE, (change,))
    lines = logical_lines(before)
    edits = tuple(Edit(offset=lines[n - 1][0], length=0, text=b"# ") for n in numbers)
    change = EditFile(path=resolved, before=before, edits=edits)
    what = f"lines {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"line {place.line}"
    safety = Safety.REVIEW if problem.keyword.lower() in RESTRICTING else Safety.SAFE
    return Repair(f"comment out {what} of {place.file}", safety, (change,))


def _lines_to_silence(facts: SshdFacts, problem: Problem) -> list[int]:
    """The bad line; for a Match line its whole block, which would otherwise hold for everyone."""
    first = problem.place.line
    if problem.keyword.lower() != "match":
        return [first]
    lines = logical_lines(facts.config.files[problem.place.file])
    bad = {p.place.line for p in facts.config.problems if p.place.file == problem.place.file}
    numbers = [first]
    for number in range(first + 1, len(lines) + 1):
        text = lines[number - 1][1].strip()
        if text.lower().startswith("match") and not text[5:6].isalnum():
            break
        if text and not text.startswith("#") and number not in bad:
            numbers.append(number)
    return numbers
