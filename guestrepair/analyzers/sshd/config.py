"""sshd_config: lines on which sshd would end, by the rules of the guest's own release.

A bad line is commented out, in the file that it stands in, and nothing else is
touched. Where that opens what an administrator closed (access lists, chroots,
Match blocks) the repair is for review.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from guestrepair.analyzers.base import Rule
from guestrepair.analyzers.sshd.inconclusive import unmounted
from guestrepair.analyzers.sshd.repairs import restore_packaged
from guestrepair.formats.sshd_config import Problem, known_names
from guestrepair.formats.sshd_config.keywords import find_keyword
from guestrepair.formats.sshd_config.parse import Place, logical_lines
from guestrepair.formats.sshd_config.scalars import choices
from guestrepair.model import (
    Change,
    Edit,
    EditFile,
    Effect,
    Evidence,
    Finding,
    GuestPath,
    Inconclusive,
    MakeDirectory,
    RemoveFile,
    Repair,
    Safety,
    Severity,
    Subject,
    WriteFile,
)
from guestrepair.system.sshd.config import DEFAULT_CONFIG
from guestrepair.system.sshd.sshd import Sshd

CONFIG_MISSING = Rule(
    name="sshd/config-missing",
    summary="sshd's configuration file is not there",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.MANUAL),
    what="The file that sshd is started with (/etc/ssh/sshd_config unless its unit says -f) is not there.",
    why="sshd exits at once: nobody can log in.",
    repair="The copy that the package left in the guest (Debian: /usr/share/openssh/sshd_config),"
    " else the"
    " packaged file from a source that matches.",
    example="rm /etc/ssh/sshd_config",
    sources=("sshd(8), -f", "OpenSSH servconf.c, load_server_config()"),
)

CONFIG_SYNTAX = Rule(
    name="sshd/config-syntax",
    summary="a line of sshd_config that the guest's sshd refuses",
    severities=(Severity.ERROR, Severity.WARNING),
    effect=Effect.STOPS_LOGIN,
    safeties=(Safety.SAFE, Safety.REVIEW, Safety.MANUAL),
    what="An unknown keyword, a missing or bad argument, a quote that does not close, a keyword"
    " that a Match"
    " block may not hold, an Include that cannot be followed, or settings that exclude each other, in the"
    " files that sshd really reads. Judged by the keyword table and the quoting rules of the guest's own"
    " OpenSSH release.",
    why="sshd exits with the file and line: nobody can log in.",
    repair="Where an argument is one of a few words and one of them is near, that word (review)."
    " Else comment out that line and nothing else; for a bad Match line its block. For review where the line"
    " narrows access (AllowUsers, ChrootDirectory, Match…).",
    example="PermitRootLogn yes",
    sources=("sshd_config(5)", "OpenSSH servconf.c, readconf and misc.c of the release at hand"),
)

CONFIG_DEPRECATED = Rule(
    name="sshd/config-deprecated",
    summary="a keyword that the guest's sshd ignores",
    severities=(Severity.NOTE,),
    effect=Effect.HYGIENE,
    what="A keyword that this release accepts and does nothing with (Protocol, UsePrivilegeSeparation…).",
    why="What the line asks for does not happen; sshd starts all the same.",
    repair="None: it does no harm.",
    example="RSAAuthentication yes",
    sources=("OpenSSH servconf.c, keywords[]",),
)

RESTRICTING = frozenset(
    {
        "allowusers", "denyusers", "allowgroups", "denygroups", "chrootdirectory", "forcecommand", "match",
        "authenticationmethods", "authorizedkeyscommand", "authorizedprincipalscommand", "permitopen",
        "permitlisten",
    }
)  # fmt: skip
"""Keywords that narrow access: without the line more may be allowed than was meant."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SYNONYMS = {
    **dict.fromkeys(("true", "on", "1", "enable", "enabled", "y"), "yes"),
    **dict.fromkeys(("false", "off", "0", "disable", "disabled", "n", "never"), "no"),
}
WRONG_WORD = re.compile(
    r"(?:unsupported option \"|unsupported log (?:level|facility) '|argument )([\w.-]{1,80})"
)
CANNOT_BE_OPENED = ": cannot be opened"


def check_config(sshd: Sshd) -> Iterator[Finding | Inconclusive]:
    """config-missing, config-syntax, config-deprecated."""
    path = sshd.config_path
    hidden = unmounted(sshd, path, str(path))
    if hidden is not None:
        yield hidden
        return
    if not sshd.files.is_file(path):
        yield _missing(sshd, path)
        return
    for problem in (*sshd.config.problems, *sshd.settings.cross_problems()):
        yield _syntax(sshd, problem)
    for line in sshd.config.ignored:
        yield CONFIG_DEPRECATED.finding(
            _subject(line.place),
            f"{line.place.file} line {line.place.line}: OpenSSH {_dotted(sshd)} ignores {line.name}",
            evidence=(Evidence(f"{line.place.file}:{line.place.line}", f"{line.name} {line.rest}".strip()),),
        )


def _subject(place: Place) -> Subject:
    return Subject.of_line(GuestPath(place.file), place.line)


def _dotted(sshd: Sshd) -> str:
    return ".".join(map(str, sshd.server.release))


def _missing(sshd: Sshd, path: GuestPath) -> Finding:
    there = sshd.files.exists(path)
    observed = "not a regular file" if there else "no such file"
    repair = Repair("write a configuration by hand", Safety.MANUAL) if there else _restore_config(sshd, path)
    return CONFIG_MISSING.finding(
        Subject.of_path(path),
        f'{sshd.title} will not start: "{path}: No such file or directory" ({observed})',
        evidence=(Evidence(str(path), observed, "sshd's configuration"),),
        repair=repair,
    )


def _restore_config(sshd: Sshd, path: GuestPath) -> Repair:
    directory: tuple[Change, ...] = ()
    if not sshd.files.is_directory(path.parent):
        directory = (MakeDirectory(path=path.parent, mode=0o755),)
    restore = restore_packaged(sshd, path)
    for template, data in sshd.config_templates if path == DEFAULT_CONFIG else ():
        if isinstance(data, bytes) and data:
            write = WriteFile(path=path, before=None, after=data)
            return Repair(f"put the package's own {template} in its place", Safety.SAFE, (*directory, write))
    if restore is not None:
        return Repair(
            f"restore it from {restore.package} {restore.version}", Safety.SAFE, (*directory, restore)
        )
    return Repair("write a configuration: neither a package nor a template has one", Safety.MANUAL)


def _syntax(sshd: Sshd, problem: Problem) -> Finding:
    place = problem.place
    lines = logical_lines(sshd.config.files.get(place.file, b""))
    text = lines[place.line - 1][1].strip() if place.line <= len(lines) else ""
    close = ""
    if problem.message.startswith("Bad configuration option"):
        near = difflib.get_close_matches(problem.keyword.lower()[:80], known_names(), n=1, cutoff=0.8)
        close = f' (did it mean "{near[0]}"?)' if near else ""
    return CONFIG_SYNTAX.finding(
        _subject(place),
        f'{sshd.title} will not start: "{place.file} line {place.line}: {problem.message}"{close}',
        evidence=(
            Evidence(f"{place.file}:{place.line}", text[:500], f"what OpenSSH {_dotted(sshd)} accepts"),
            Evidence("release", _dotted(sshd), sshd.server.release_source),
        ),
        repair=_repair(sshd, problem),
    )


def _repair(sshd: Sshd, problem: Problem) -> Repair:
    place = problem.place
    if problem.message.endswith(CANNOT_BE_OPENED):
        link = GuestPath(problem.message.removesuffix(CANNOT_BE_OPENED))
        found = sshd.files.lstat(link)
        if found is not None and found.is_symlink:
            return Repair(
                f"remove the link {link}, which leads nowhere", Safety.REVIEW, (RemoveFile(path=link),)
            )
    if place.file not in sshd.config.files or GuestPath(place.file) in sshd.command_files:
        return Repair(f"correct the options of sshd in {place.file}", Safety.MANUAL)
    numbers = _lines_to_silence(sshd, problem)
    resolved = sshd.files.resolve(GuestPath(place.file)) or GuestPath(place.file)
    before = sshd.config.files[place.file]
    if place.offset_bytes == 0 and before.startswith(BYTE_ORDER_MARK):
        mark = Edit(offset=0, length=len(BYTE_ORDER_MARK), text=b"")
        change = EditFile(path=resolved, before=before, edits=(mark,))
        return Repair(f"take the byte-order mark off {place.file}", Safety.SAFE, (change,))
    lines = logical_lines(before)
    nearest = near_word(sshd.server.release, problem)
    edit = _word_edit(before, place, problem.keyword, *nearest) if nearest is not None else None
    if nearest is not None and edit is not None:
        change = EditFile(path=resolved, before=before, edits=(edit,))
        return Repair(f"write {nearest[1]} in line {place.line} of {place.file}", Safety.REVIEW, (change,))
    edits = tuple(Edit(offset=lines[n - 1][0], length=0, text=b"# ") for n in numbers)
    change = EditFile(path=resolved, before=before, edits=edits)
    what = f"lines {numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"line {place.line}"
    safety = Safety.REVIEW if problem.keyword.lower() in RESTRICTING else Safety.SAFE
    return Repair(f"comment out {what} of {place.file}", safety, (change,))


def near_word(release: tuple[int, int], problem: Problem) -> tuple[str, str] | None:
    """The argument that is wrong and the one word that it must mean; None where that is not certain."""
    said = WRONG_WORD.search(problem.message)
    row = find_keyword(problem.keyword, release, "")
    wrong = said[1] if said is not None else ""
    words = choices(row.kind, release) if row is not None else ()
    plain = wrong.lower()
    if plain in SYNONYMS and SYNONYMS[plain] in words:
        return wrong, SYNONYMS[plain]
    near = difflib.get_close_matches(plain[:80], words, n=2, cutoff=0.7) if wrong else []
    scores = [difflib.SequenceMatcher(None, plain, word).ratio() for word in near]
    if not near or (len(near) > 1 and scores[0] - scores[1] < 0.05):
        return None
    return wrong, near[0]


def _word_edit(before: bytes, place: Place, keyword: str, wrong: str, right: str) -> Edit | None:
    """The edit that changes that word of the line alone; None where it stands there more than once."""
    end = before.find(b"\n", place.offset_bytes)
    line = before[place.offset_bytes : end if end >= 0 else len(before)]
    start = line.lower().find(keyword.lower().encode("latin-1", "replace")) + len(keyword)
    text = wrong.encode("latin-1", "replace")
    if line.count(text, start) != 1:
        return None
    return Edit(offset=place.offset_bytes + line.index(text, start), length=len(text), text=right.encode())


def _lines_to_silence(sshd: Sshd, problem: Problem) -> list[int]:
    """The bad line; for a Match line its whole block, which would otherwise hold for everyone."""
    first = problem.place.line
    if problem.keyword.lower() != "match":
        return [first]
    lines = logical_lines(sshd.config.files[problem.place.file])
    bad = {p.place.line for p in sshd.config.problems if p.place.file == problem.place.file}
    numbers = [first]
    for number in range(first + 1, len(lines) + 1):
        text = lines[number - 1][1].strip()
        if text.lower().startswith("match") and not text[5:6].isalnum():
            break
        if text and not text.startswith("#") and number not in bad:
            numbers.append(number)
    return numbers
