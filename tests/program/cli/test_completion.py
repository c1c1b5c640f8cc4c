"""Completion in real shells, bash and zsh on a terminal as a person has them, fish by its own word."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from guestrepair.cli.completion import SHELLS
from tests.support.lacking import files_of, guestrepair_without, needs_namespaces
from tests.support.program import PROGRAM

SECONDS = 60
_PROMPT = "ready> "

CASES = [
    ("guestrepair valid", "validate "),
    ("guestrepair server.q", "server.qcow2 "),
    ("guestrepair scan server.q", "server.qcow2 "),
    ("guestrepair scan --host-o", "--host-only "),
    ("guestrepair scan --only fstab/source-not-found-op", "fstab/source-not-found-optional "),
    ("guestrepair scan --skip sshd,fstab/source-not-found-op", "sshd,fstab/source-not-found-optional "),
    ("guestrepair validate --platform kvm,azure-n", "kvm,azure-nvme "),
    ("guestrepair explain fstab/source-not-found-op", "fstab/source-not-found-optional "),
    ("guestrepair explain --platform azure-n", "azure-nvme "),
    ("guestrepair timeline --only logi", "login "),
    ("guestrepair scan --format sar", "sarif "),
    ("guestrepair server.qcow2 --host-o", "--host-only "),
    ("guestrepair policy che", "check "),
    ("guestrepair --colo", "--color "),
    ("guestrepair diff server.q", "server.qcow2 "),
    ("guestrepair completion fi", "fish "),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shell")
    (path / "server.qcow2").touch()
    return path


def environment(folder: Path) -> dict[str, str]:
    path = f"{PROGRAM.parent}:{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "HOME": str(folder),
        "ZDOTDIR": str(folder),
        "TERM": "xterm",
        "PS1": _PROMPT,
    }


def shell(folder: Path, *lines: str, command: list[str]) -> pexpect.spawn[str]:
    """A shell on a terminal, which has read these lines."""
    child = pexpect.spawn(
        command[0], command[1:], cwd=str(folder), env=environment(folder), encoding="utf-8", timeout=SECONDS,
        dimensions=(50, 200),
    )  # fmt: skip
    for line in lines:
        child.expect_exact(_PROMPT)
        child.sendline(line)
    child.expect_exact(_PROMPT)
    return child


@pytest.fixture(scope="module")
def bash(folder: Path) -> Iterator[pexpect.spawn[str]]:
    child = shell(
        folder,
        "bind 'set enable-bracketed-paste off'",
        'eval "$(guestrepair completion bash)"',
        command=["bash", "--norc", "--noprofile", "-i"],
    )
    yield child
    child.close(force=True)


@pytest.fixture(scope="module")
def zsh(folder: Path) -> Iterator[pexpect.spawn[str]]:
    child = shell(
        folder,
        f"unsetopt zle_bracketed_paste prompt_sp; unset zle_bracketed_paste; PS1='{_PROMPT}'",
        "autoload -Uz compinit; compinit -u -d ./dump",
        'eval "$(guestrepair completion zsh)"',
        command=["zsh", "-f", "-i"],
    )
    yield child
    child.close(force=True)


def completed(child: pexpect.spawn[str], line: str, folder: Path) -> str:
    """What the line has become after a tab: it is run as the words of a colon, and is in the history."""
    child.send(f"{line}\t")
    child.send("@@\x01: \x05\n")  # the shell reads on when it is done with the tab
    child.expect_exact("@@")
    child.expect_exact(_PROMPT)
    said = folder / ".line"
    said.unlink(missing_ok=True)
    child.sendline(f"fc -ln -1 {'' if name_of(child) == 'bash' else '-1'} >.line")
    ends = time.monotonic() + SECONDS
    while not (said.exists() and said.read_text().endswith("\n")) and time.monotonic() < ends:
        time.sleep(0.02)
    child.expect_exact(_PROMPT)
    return said.read_text().strip().removeprefix(": ").removesuffix("@@")


def name_of(child: pexpect.spawn[str]) -> str:
    return Path(str(child.command)).name


@pytest.mark.parametrize(("line", "end"), CASES)
@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_in_a_terminal(name: str, line: str, end: str, folder: Path, request: pytest.FixtureRequest) -> None:
    child = request.getfixturevalue(name)
    start = line.rpartition(" ")[0]
    assert completed(child, line, folder) == f"{start} {end}"


@pytest.mark.parametrize(("line", "end"), CASES)
def test_in_fish(line: str, end: str, folder: Path) -> None:
    script = f'guestrepair completion fish | source; complete -C "{line}"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], cwd=folder, env=environment(folder),
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.stderr == ""
    assert end.strip() in [found.partition("\t")[0] for found in done.stdout.splitlines()]


def test_commands_and_images_are_shown_together(folder: Path) -> None:
    script = 'guestrepair completion fish | source; complete -C "guestrepair s"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script], cwd=folder, env=environment(folder),
        capture_output=True, text=True, check=True, timeout=SECONDS,
    )  # fmt: skip
    assert {"scan", "server.qcow2"} == {found.partition("\t")[0] for found in done.stdout.splitlines()}


@needs_namespaces
def test_a_fault_says_nothing_into_the_line_that_is_typed() -> None:
    asked = {
        "_GUESTREPAIR_COMPLETE": "bash_complete",
        "COMP_WORDS": "guestrepair explain fst",
        "COMP_CWORD": "2",
    }
    assert "plain,fstab" in guestrepair_without([], **asked).stdout
    done = guestrepair_without(files_of("cryptography"), **asked)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_every_shell_is_here() -> None:
    """So that none of the tests above is passed over: tools/setup.sh installs them."""
    assert [name for name in SHELLS if shutil.which(name) is None] == []


def test_a_shell_that_is_not_known_is_wrong_usage() -> None:
    done = subprocess.run([PROGRAM, "completion", "ksh"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'ksh' is not one of" in done.stderr
