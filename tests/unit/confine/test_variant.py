"""A machine is started otherwise only where its whole command line is the one that is known."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from guestrepair.confine.cage import Cage
from guestrepair.confine.process import confinement, wrapped
from guestrepair.confine.variant import options, recorded, varied

LINE = [
    "-no-reboot",
    "-m",
    "1024",
    "-drive",
    "file=a,id=hd0",
    "-drive",
    "file=root,id=appliance",
    "-append",
    "x",
]
TOLD = {
    "known": [["-no-reboot"], ["-m", "1024"], ["-drive", "file=root,id=appliance"]],
    "varies": ["-drive file=", "-append "],
    "instead": {"-drive file=root,id=appliance": ["-drive", "file=saved"]},
    "more": ["-incoming", "fd:{descriptor}"],
}


def test_a_command_line_is_read_by_its_options() -> None:
    assert options(LINE[:5]) == [["-no-reboot"], ["-m", "1024"], ["-drive", "file=a,id=hd0"]]
    assert options(["first", "-m"]) == [["first"], ["-m"]]
    assert options([]) == []


def test_disks_and_sockets_stay_and_what_is_to_be_replaced_is() -> None:
    more = [*LINE[:5], "-drive", "file=b,id=hd1", *LINE[5:7], "-append", "y"]
    assert varied(more, TOLD) == [
        *LINE[:5], "-drive", "file=b,id=hd1", "-drive", "file=saved", "-append", "y",
        "-incoming", "fd:{descriptor}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        LINE[1:],
        [*LINE, "-smp", "2"],
        ["2048" if word == "1024" else word for word in LINE],
        [word.replace("file=root", "file=other") for word in LINE],
        ["-m", "1024", "-no-reboot", *LINE[3:]],
        [],
    ],
)
def test_any_other_command_line_is_left_as_it_is(line: list[str]) -> None:
    assert varied(line, TOLD) is None


def test_a_question_about_qemu_itself_is_not_recorded(tmp_path: Path) -> None:
    assert not recorded(["-machine", "none", "-qmp", "stdio"], str(tmp_path / "line"))
    assert list(tmp_path.iterdir()) == []
    assert recorded(["-kernel", "k"], str(tmp_path / "line"))
    assert json.loads((tmp_path / "line").read_text()) == ["-kernel", "k"]


def out_of(program: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.skipif(not confinement(), reason="this host confines nothing: programs start as they are")
def test_a_wrapped_program_is_given_the_other_line_and_the_file_that_it_reads(tmp_path: Path) -> None:
    state, home = tmp_path / "state", tmp_path / "home"
    state.write_text("what was saved\n")
    home.mkdir()
    told = {
        "known": [], "varies": ["-c "], "instead": {}, "more": ["name", "{descriptor}"], "open": str(state),
    }  # fmt: skip
    cage = Cage(read=(state,), write=(home,))
    program = wrapped(Path("/bin/sh"), cage=cage, directory=home, variant=told)
    assert out_of(program, "-c", 'cat <&"$1"') == (0, "what was saved\n")
    assert out_of(program, "-ec", 'echo "as it is $#"') == (0, "as it is 0\n")


@pytest.mark.skipif(not confinement(), reason="this host confines nothing: programs start as they are")
def test_a_machine_that_is_recorded_is_not_started(tmp_path: Path) -> None:
    line = tmp_path / "line.json"
    program = wrapped(Path("/bin/echo"), cage=Cage(write=(tmp_path,)), directory=tmp_path, record=line)
    assert out_of(program, "-version") == (0, "-version\n")
    assert not line.exists()
    assert out_of(program, "-kernel", "vmlinuz") == (0, "")
    assert json.loads(line.read_text()) == ["-kernel", "vmlinuz"]
