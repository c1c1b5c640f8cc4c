"""Which part of a list is this run's: the same list gives disjoint parts that are complete together.

An image belongs to a part by a digest of its name, not by its place, so that an image more or less in the
list moves no other one. Sources: sbatch(1) (``SLURM_ARRAY_TASK_*``), Kubernetes, *Indexed Job*
(``JOB_COMPLETION_INDEX``), GitLab CI/CD (``CI_NODE_INDEX``, from 1).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from guestrepair.errors import UsageError

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")
_NUMBER = re.compile(r"[0-9]{1,9}")
_HINT = "--shard 2/10, or auto under Slurm, Kubernetes or a CI that counts for itself"


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` (from 1) of ``count``."""

    index: int
    count: int

    def holds(self, name: str) -> bool:
        """Whether an image of this name belongs to it."""
        digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1


WHOLE = Shard(1, 1)


def parse_shard(text: str, count: int | None, environment: Mapping[str, str]) -> Shard:
    """The shard that ``--shard`` and ``--shards`` mean.

    Raises:
        UsageError: it is none, or the environment does not tell.
    """
    if text == "auto":
        return _checked(*_from_environment(count, environment), text)
    match = _SHARD.fullmatch(text)
    if match is None:
        raise UsageError(f"--shard {text}: not of the form I/N", hint=_HINT)
    if count is not None and count != int(match[2]):
        raise UsageError(
            f"--shard {text} and --shards {count} contradict each other", hint="give one of them"
        )
    return _checked(int(match[1]), int(match[2]), text)


def _checked(index: int, count: int, text: str) -> Shard:
    if not 1 <= index <= count:
        raise UsageError(f"--shard {text}: there is no part {index} of {count}", hint=_HINT)
    return Shard(index, count)


def _from_environment(count: int | None, environment: Mapping[str, str]) -> tuple[int, int]:
    def number(name: str) -> int | None:
        value = environment.get(name, "")
        if not value:
            return None
        if not _NUMBER.fullmatch(value):
            raise UsageError(f"--shard auto: {name}={value} is no number", hint=_HINT)
        return int(value)

    task = number("SLURM_ARRAY_TASK_ID")
    if task is not None:
        first, step = number("SLURM_ARRAY_TASK_MIN") or 0, number("SLURM_ARRAY_TASK_STEP") or 1
        parts = _known(number("SLURM_ARRAY_TASK_COUNT") or count, "SLURM_ARRAY_TASK_COUNT")
        return (task - first) // max(step, 1) + 1, parts
    index = number("JOB_COMPLETION_INDEX")
    if index is not None:
        return index + 1, _known(count or number("GUESTREPAIR_SHARDS"), "--shards or GUESTREPAIR_SHARDS")
    node = number("CI_NODE_INDEX")
    if node is not None:
        return node, _known(number("CI_NODE_TOTAL") or count, "CI_NODE_TOTAL")
    raise UsageError(
        "--shard auto: neither SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX nor CI_NODE_INDEX is set", hint=_HINT
    )


def _known(count: int | None, name: str) -> int:
    if count is None:
        raise UsageError(f"--shard auto: of how many parts is not known: {name} is not set", hint=_HINT)
    return count
