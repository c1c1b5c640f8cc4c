"""For all tests: property tests have no deadline, since machines under emulation are slow now and then.

``GUESTREPAIR_TEST_DEPTH=thorough`` runs many more examples of each.
"""

from __future__ import annotations

import gc
import os
import re
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

# The same examples each time: whether a commit passes is no matter of luck. "thorough" looks for new ones.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=20, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=500)
hypothesis.settings.load_profile(os.environ.get("GUESTREPAIR_TEST_DEPTH", "quick"))


def pytest_collection_finish() -> None:
    """What was collected stays to the end: no collection of garbage has to look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


LONGEST = (
    "fault/test_kill.py", "boot/test_outcomes.py", "image/test_whole_command.py", "image/test_host_tree.py",
    "image/test_docs_sessions.py", "image/test_healthy.py", "image/test_host_only.py",
    "image/test_evidence.py", "image/test_sshd.py",
)  # fmt: skip
"""Files that take minutes: they begin first, or one worker has such a file at the end and the other none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of the longest files first, then those that boot; all others stay in their order."""
    first = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda i: first.get(i.path, len(first) + (i.get_closest_marker("boot") is None)))


_KILLED = re.compile(r"killed (\d+) times")
_COUNTING = ("tests/fault/", "tests/oracle/", "tests/image/test_corpora")


def _show_space(terminalreporter: pytest.TerminalReporter) -> None:
    """Where something failed: whether it may have been for want of space."""
    if terminalreporter.stats.get("failed") or terminalreporter.stats.get("error"):
        folder = tempfile.gettempdir()
        free_gib = shutil.disk_usage(folder).free / 2**30
        terminalreporter.write_line(f"free for temporary files ({folder}): {free_gib:.1f} GiB")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the fault, oracle and corpus tests counted: a pass alone does not say over how many cases."""
    lines = [
        line
        for report in terminalreporter.stats.get("passed", [])
        if report.when == "call" and report.nodeid.startswith(_COUNTING)
        for line in report.capstdout.splitlines()
        if ": " in line and not line.startswith("Creating")
    ]
    _show_space(terminalreporter)
    if lines:
        terminalreporter.section("what was counted")
    for line in lines:
        terminalreporter.write_line(line)
    killed = sum(int(number) for line in lines for number in _KILLED.findall(line))
    if killed:
        terminalreporter.write_line(f"killed in all: {killed} times")
