"""Asks the host's real sshd what it makes of a configuration, and our parser the same."""

from __future__ import annotations

import functools
import glob
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from guestrepair.formats.sshd_config.parse import parse
from guestrepair.formats.sshd_config.settings import Settings
from guestrepair.system.sshd.server import words_of

SSHD = Path("/usr/sbin/sshd")
RELEASE = (9, 2)
LINE = re.compile(r"(?:^(?P<file>/\S+?):? line |\bat line |^line )(?P<line>\d+)")


@dataclass(frozen=True)
class Answer:
    """Accepted or not; the first line complained of and its file, where the complaint names one."""

    accepted: bool
    file: str = ""
    line: int = 0


class HostSource:
    """Files of the host, for the configurations of the oracle test."""

    def glob(self, pattern: str) -> Sequence[str]:
        return sorted(glob.glob(pattern))  # noqa: PTH207  (Path.glob leaves out dangling links; glob(3) does not)

    def read(self, path: str) -> bytes | None:
        try:
            return b"" if Path(path).is_dir() else Path(path).read_bytes()
        except OSError:
            return None


def ask_sshd(path: Path, host_key: Path) -> Answer:
    """``sshd -t`` on the file."""
    done = subprocess.run(
        [str(SSHD), "-t", "-h", str(host_key), "-f", str(path)], capture_output=True, check=False, timeout=60
    )
    if done.returncode == 0:
        return Answer(True)
    for text in done.stderr.decode("latin-1").splitlines():
        found = LINE.search(text)
        if found and not re.search(r"(Deprecated|Unsupported) option", text):
            return Answer(False, found["file"] or "", int(found["line"]))
    return Answer(False)


@functools.cache
def known_words() -> frozenset[str]:
    """The words in the host's sshd, which the parser is given of a guest's binary as well."""
    return words_of(SSHD.read_bytes())


def ask_parser(path: Path) -> Answer:
    """Our own verdict, for Debian 12's sshd."""
    config = parse(
        str(path),
        path.read_bytes(),
        HostSource(),
        release=RELEASE,
        family="debian",
        known_words=known_words(),
    )
    if config.problems:
        first = config.problems[0]
        return Answer(False, first.place.file, first.place.line)
    late = next(Settings(config).cross_problems(), None)
    return Answer(True) if late is None else Answer(False, late.place.file, late.place.line)


def agree(real: Answer, ours: Answer) -> bool:
    """Same verdict; and where the real one names a line (and a file), the same line (and file)."""
    if real.accepted != ours.accepted:
        return False
    if real.accepted or not real.line:
        return True
    return real.line == ours.line and real.file in ("", ours.file)
