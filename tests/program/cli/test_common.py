"""-v, -q, --color and environment variables: the same on every command, on a real terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from guestrepair.cli.common import CONSENT, variable_of
from guestrepair.cli.main import invoke, main
from tests.support.program import PROGRAM

_SGR = re.compile(r"\x1b\[[0-9;]*m")
_ERASED = "\r\x1b[K"
RED_ERROR = "\x1b[1;31mERROR\x1b[0m"


def commands(
    group: click.Group = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def options(command: click.Command) -> dict[str, click.Option]:
    found = (p for p in command.params if isinstance(p, click.Option))
    return {max(option.opts, key=len): option for option in found}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk without a system, on which the host alone finds an error: its first partition table."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    path.touch()
    os.truncate(path, 8 << 20)
    subprocess.run(["sgdisk", "-n1:2048:4095", path], check=True, capture_output=True)
    with path.open("r+b") as file:
        file.seek(512)
        file.write(bytes(512))
    return path


def on_a_terminal(*arguments: str | Path, **variables: str) -> tuple[str, str]:
    """stdout and stderr of the program, each of them a terminal."""
    environment = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "TERM"}}
    ends = [pty.openpty() for _ in range(2)]
    with subprocess.Popen(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=ends[0][1],
        stderr=ends[1][1],
        env={**environment, "TERM": "xterm", **variables},
    ):
        for _, slave in ends:
            os.close(slave)
        said = tuple(_read(master) for master, _ in ends)
    return said[0], said[1]


def _read(master: int) -> str:
    said = b""
    with os.fdopen(master, "rb", buffering=0) as terminal:
        while True:
            try:
                some = terminal.read(65536)
            except OSError:  # the other end was closed
                break
            if not some:
                break
            said += some
    return said.decode().replace("\r\n", "\n")


def in_a_pipe(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


def test_colours_are_for_terminals(disk: Path) -> None:
    out, _ = on_a_terminal("scan", "--host-only", disk)
    assert RED_ERROR in out
    assert _SGR.sub("", out) == on_a_terminal("scan", "--host-only", disk, NO_COLOR="1")[0]
    assert "\x1b" not in in_a_pipe("scan", "--host-only", disk).stdout


def test_colours_are_as_asked(disk: Path, tmp_path: Path) -> None:
    assert RED_ERROR in in_a_pipe("scan", "--host-only", "--color", "always", disk).stdout
    assert RED_ERROR in in_a_pipe("--color=always", "scan", "--host-only", disk, NO_COLOR="1").stdout
    assert RED_ERROR in in_a_pipe("scan", "--host-only", disk, GUESTREPAIR_COLOR="always").stdout
    for arguments, variables in (
        (("--color", "never"), {}),
        ((), {"TERM": "dumb"}),
        ((), {"GUESTREPAIR_COLOR": "never"}),
        (("--format", "json", "--color", "always"), {}),
    ):
        assert "\x1b" not in on_a_terminal("scan", "--host-only", *arguments, disk, **variables)[0]
    report = tmp_path / "report.txt"
    on_a_terminal("scan", "--host-only", "--color", "always", "-o", report, disk)
    assert "ERROR  " in report.read_text()
    assert "\x1b" not in report.read_text()


def test_quiet_is_errors_and_the_report(disk: Path, tmp_path: Path) -> None:
    loud = on_a_terminal("scan", "--host-only", disk)
    quiet = on_a_terminal("scan", "--host-only", "-q", disk)
    assert quiet[0] == loud[0]
    assert _ERASED in loud[1]
    assert _ERASED not in quiet[1]
    assert "guestrepair: " in quiet[1]  # that there is no system on the disk
    missing = in_a_pipe("scan", "-q", tmp_path / "missing")
    assert (missing.returncode, missing.stderr.count("\n")) == (3, 1)


def test_quiet_and_verbose_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["-q", "-v", "explain"], ["-q", "explain", "-v"], ["explain", "-q", "-v"]):
        assert invoke(arguments) == 2
        assert "-v and -q do not go together" in capsys.readouterr().err


def _variables(option: click.Option) -> list[str | None]:
    return [option.envvar] if option.envvar is None or isinstance(option.envvar, str) else [*option.envvar]


def test_every_command_has_them_and_a_variable_for_each_option() -> None:
    seen: dict[str, tuple[str, ...]] = {}
    for path, command in commands():
        known = options(command)
        assert {"--verbose", "--quiet", "--color"} <= set(known), path
        for name, option in known.items():
            wanted = variable_of(option, path) or None
            assert wanted in _variables(option), (path, name)
            assert wanted is not None or name in CONSENT or not option.expose_value
            if wanted is not None:
                assert seen.setdefault(wanted, path) == path, wanted


def test_an_option_is_called_and_meant_alike_everywhere() -> None:
    """One long name: the same short one, the same name inside, flag or value, repeatable or not."""
    alike: dict[str, tuple[object, ...]] = {}
    for path, command in commands():
        for name, option in options(command).items():
            assert option.help, (path, name)
            if (path, name) in _DIFFERENT:
                continue
            kind = (sorted(option.opts), option.is_flag, option.multiple)
            assert alike.setdefault(name, kind) == kind, (path, name)


_DIFFERENT = {
    (("repair",), "--dry-run"),  # takes =verify, too; stands without a value all the same
    (("explain",), "--platform"),  # prints one
    (("repair",), "--output"),  # names the new image where the old one lies elsewhere
}


@pytest.mark.parametrize(
    ("variable", "value", "status"),
    [("GUESTREPAIR_SCAN_FORMAT", "json", 3), ("GUESTREPAIR_SCAN_FORMAT", "xml", 2),
     ("GUESTREPAIR_SCAN_ONLY", "no-such-rule", 2), ("GUESTREPAIR_SCAN_HOST_ONLY", "perhaps", 2),
     ("GUESTREPAIR_VALIDATE_FORMAT", "json", 3)],
)  # fmt: skip
def test_an_option_can_be_a_variable(variable: str, value: str, status: int, tmp_path: Path) -> None:
    command = variable.split("_")[1].lower()
    done = in_a_pipe(command, tmp_path / "missing", **{variable: value})
    assert done.returncode == status
    assert done.stdout.startswith('{\n  "schema": "guestrepair.report/1"') == (status == 3)


def test_an_option_wins_over_its_variable(tmp_path: Path) -> None:
    done = in_a_pipe("scan", "--format=table", tmp_path / "missing", GUESTREPAIR_SCAN_FORMAT="json")
    assert (done.returncode, done.stdout) == (3, "")


def test_consent_is_no_variable(disk: Path, tmp_path: Path) -> None:
    before = disk.read_bytes()
    done = in_a_pipe("repair", "--state-dir", tmp_path, disk, GUESTREPAIR_REPAIR_YES="1", GUESTREPAIR_YES="1")
    assert done.returncode == 2
    assert "nobody is at the terminal" in done.stderr
    assert disk.read_bytes() == before
