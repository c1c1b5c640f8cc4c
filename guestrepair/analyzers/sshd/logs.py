"""What the guest's own logs say to a finding: sshd's complaint, how often, first and last.

Logs are read only where there is a finding that they could corroborate, newest
first, within limits; what cannot be read is passed over, since a log decides
nothing here.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
from collections.abc import Iterator, Sequence

from guestrepair.analyzers.base import Context, Rule
from guestrepair.formats.logs import LogLine
from guestrepair.model import Effect, Evidence, Finding, GuestPath, Severity
from guestrepair.system.fact import Unreadable

LOG_EVIDENCE = Rule(
    name="sshd/log-evidence",
    summary="lines in the guest's logs that corroborate a finding; never reported by itself",
    severities=(Severity.NOTE,),
    effect=Effect.HYGIENE,
    what="Lines of sshd in /var/log/secure, /var/log/auth.log, their rotations (gz, xz, bz2,"
    " zst, lz4) and the systemd journal that say what a finding says. They are attached to it as evidence,"
    " with the time of the first and the last and their number.",
    why="They tell since when it has been so, and that it really kept people out.",
    repair="None: it belongs to the finding that it corroborates.",
    sources=("syslogd(8)", "systemd's JOURNAL_FILE_FORMAT.md", "OpenSSH log messages, by the rules' sources"),
)

PROGRAMS = ("sshd", "sshd-session", "sshd-auth", "sshd-keygen")
MAX_EVIDENCE = 3

PATTERNS: dict[str, tuple[str, ...]] = {
    "privsep-dir-missing": ("Missing privilege separation directory: {path}",),
    "privsep-dir-unsafe": ("{path} must be owned by root and not group or world-writable",),
    "privsep-user-missing": ("Privilege separation user sshd does not exist",),
    "config-missing": ("{path}: No such file or directory",),
    "config-syntax": ("{file}:? line {line}:", "line {line}: (?:Bad Match|Unsupported Match|Invalid Match)"),
    "host-key-unsafe": (
        "Permissions 0?[0-7]+ for '{path}' are too open",
        'Unable to load host key:? "?{path}"?',
        "Could not load host key: {path}",
        "no hostkeys available",
        "UNPROTECTED PRIVATE KEY FILE",
    ),
    "host-key-missing": (
        'Unable to load host key:? "?{path}"?',
        "Could not load host key: {path}",
        "no hostkeys available",
    ),
    "host-key-corrupt": (
        'Unable to load host key:? "?{path}"?',
        "Could not load host key: {path}",
        "Public key for {stem} does not match private key",
        "no hostkeys available",
    ),
    "strict-modes": (
        "bad ownership or modes for (?:file|directory) {path}$",
        "authorized keys '{path}' is not a regular file",
        "Could not open user '[^']*' authorized keys '{path}[^']*': Permission denied",
    ),
    "chroot-directory": ('bad ownership or modes for chroot directory (?:component )?"{path}/?"',),
    "helper-missing": ("{path} does not exist or is not executable", "subsystem: cannot stat {path}"),
    "library-missing": ("unable to dlopen\\((?:[^)]*/)?{name}\\)", "loading shared libraries: {name}"),
    "login-blocked": ("not allowed because shell {path}", "not allowed because (?:not )?(?:listed )?in "),
    "tcp-wrappers": ("refused connect from",),
}
"""What sshd logs for each rule; {path} is the subject, {file} and {line} its parts, {name} the file name."""


@dataclasses.dataclass(slots=True)
class Sighting:
    """How often a complaint stands in one log, when first and last, and its words."""

    count: int = 0
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    message: str = ""

    def add(self, line: LogLine) -> None:
        """Count one more line."""
        self.count += 1
        self.message = line.message
        if line.time is not None:
            plain = line.time.replace(tzinfo=None)
            self.first = plain if self.first is None else min(self.first, plain)
            self.last = plain if self.last is None else max(self.last, plain)


def with_log_evidence(context: Context, findings: Sequence[Finding]) -> Sequence[Finding]:
    """The findings, each with what the logs say to it."""
    wanted = {i: pattern for i, f in enumerate(findings) if (pattern := pattern_of(f)) is not None}
    if not wanted:
        return findings
    seen: dict[int, dict[GuestPath, Sighting]] = {i: {} for i in wanted}
    for entry in context.system.logs.entries(PROGRAMS):
        if isinstance(entry, Unreadable):
            continue  # a log decides nothing here
        path, line = entry
        for index, pattern in wanted.items():
            if pattern.search(line.message):
                seen[index].setdefault(path, Sighting()).add(line)
    return [
        dataclasses.replace(f, evidence=(*f.evidence, *_evidence(seen.get(i, {}))))
        for i, f in enumerate(findings)
    ]


def pattern_of(finding: Finding) -> re.Pattern[str] | None:
    """What sshd would have logged for this finding; None where it logs nothing."""
    templates = PATTERNS.get(finding.rule.partition("/")[2])
    if templates is None:
        return None
    subject, colon, line = finding.subject.rpartition(":")
    if not colon or not line.isdigit():
        subject, line = finding.subject, "0"
    parts = {
        "path": re.escape(finding.subject),
        "file": re.escape(subject),
        "line": line,
        "name": re.escape(finding.subject.rpartition("/")[2]),
        "stem": re.escape(finding.subject.removesuffix(".pub")),
    }
    return re.compile("|".join(_fill(template, parts) for template in templates))


def _fill(template: str, parts: dict[str, str]) -> str:
    for name, value in parts.items():
        template = template.replace(f"{{{name}}}", value)
    return template


def _evidence(sightings: dict[GuestPath, Sighting]) -> Iterator[Evidence]:
    newest = sorted(sightings.items(), key=lambda pair: str(pair[1].last or ""), reverse=True)
    for path, seen in newest[:MAX_EVIDENCE]:
        times = f"{seen.count} time{'s' if seen.count > 1 else ''}"
        if seen.first is not None and seen.last is not None:
            times += f", first {seen.first:%Y-%m-%d %H:%M:%S}, last {seen.last:%Y-%m-%d %H:%M:%S}"
        yield Evidence(str(path), f'"{seen.message[:300]}" ({times})')
