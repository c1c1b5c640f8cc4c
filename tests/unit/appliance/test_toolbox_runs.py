"""Programs of this host, packed, brought into an appliance and run there by their own loader."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.appliance import toolbox as module
from guestrepair.appliance.toolbox import MAX_OUTPUT_BYTES, Outcome, Toolbox
from guestrepair.errors import ApplianceError, GuestReadError
from tests.unit.appliance.host_toolbox import Appliance, toolbox_in

DEVICE = "/dev/vg/root"


@pytest.fixture
def appliance() -> Appliance:
    return Appliance()


@pytest.fixture
def toolbox(appliance: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toolbox:
    return toolbox_in(tmp_path, appliance, monkeypatch, {"cat": "coreutils", "absent": "no-such-package"})


def test_a_script_gives_its_status_and_all_that_it_printed(toolbox: Toolbox, appliance: Appliance) -> None:
    answer = toolbox.run(DEVICE, "echo status=7; {cat} /dev/null/x; echo $DEV; exit 4", needs=("cat",))
    assert answer.status == 4
    assert answer.output.splitlines() == [
        "status=7",
        f"{toolbox.directory}/bin/cat: /dev/null/x: Not a directory",
        DEVICE,
    ]
    toolbox.run(DEVICE, "exit 0", needs=())
    assert appliance.uploads == 1


def test_a_drive_has_its_usual_name_in_what_is_said_of_it(toolbox: Toolbox) -> None:
    assert toolbox.run("/dev/sdb1", "echo on $DEV", needs=()) == Outcome(0, "on /dev/sdb1")
    assert (
        toolbox.run("/dev/sdb1", "echo $DEV | {cat} - | {head} -c 21", needs=()).output
        == "/dev/disk/guestfs/dis"
    )


def test_a_device_s_name_is_no_part_of_the_script(toolbox: Toolbox, tmp_path: Path) -> None:
    name = f"/dev/vg/$(echo > {tmp_path}/ran)'\";x"
    assert toolbox.run(name, 'echo "$DEV"', needs=()).output == name
    assert not (tmp_path / "ran").exists()


def test_copies_are_gone_after_the_script(toolbox: Toolbox, tmp_path: Path) -> None:
    assert toolbox.run(DEVICE, "echo x > $TMP/copy", needs=()).status == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_of_output_without_end_the_beginning_is_kept(toolbox: Toolbox) -> None:
    answer = toolbox.run(DEVICE, "{head} -c 100000 /dev/zero | {cat} -v; exit 1", needs=())
    assert (answer.status, len(answer.output)) == (1, MAX_OUTPUT_BYTES)


def test_after_an_unmount_of_everything_the_programs_are_brought_again(
    toolbox: Toolbox, appliance: Appliance
) -> None:
    toolbox.prepare(DEVICE)
    appliance.mounted.clear()
    assert toolbox.run(DEVICE, "echo there", needs=()) == Outcome(0, "there")
    assert appliance.uploads == 2


@pytest.mark.parametrize(("name", "package"), [("absent", "no-such-package"), ("timeout", "coreutils")])
def test_a_program_that_this_host_lacks_is_named_with_its_package(
    name: str, package: str, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = module.shutil.which  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "shutil.which", lambda asked, path: None if asked == name else usual(asked, path=path)
    )
    with pytest.raises(GuestReadError) as lacking:
        toolbox.run(DEVICE, f"{{{name}}} $DEV", needs=("cat", name))
    assert lacking.value.message == f"{DEVICE}: {name} is not installed on this host"
    assert lacking.value.hint == f"install {package}"


@pytest.mark.parametrize("says", ["", "status=", "status=x"])
def test_a_script_that_does_not_come_to_its_end_has_no_status(
    says: str, toolbox: Toolbox, appliance: Appliance
) -> None:
    appliance.says = says
    with pytest.raises(GuestReadError, match="did not run to its end"):
        toolbox.run(DEVICE, "{cat}", needs=())


def test_where_copies_cannot_be_made_nothing_is_run(toolbox: Toolbox, tmp_path: Path) -> None:
    toolbox.prepare(DEVICE)
    (tmp_path / "scratch").rmdir()
    with pytest.raises(GuestReadError, match=f"{DEVICE}: command: "):
        toolbox.run(DEVICE, f"echo > {tmp_path}/ran", needs=())
    assert not (tmp_path / "ran").exists()


def test_an_appliance_that_is_gone_is_said(toolbox: Toolbox, appliance: Appliance) -> None:
    appliance.gone = True
    with pytest.raises(ApplianceError):
        toolbox.run(DEVICE, "exit 0", needs=())


def test_without_ldd_no_program_can_be_run_there(toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(GuestReadError, match="no shell of this host can be run in the appliance"):
        toolbox.run(DEVICE, "exit 0", needs=())


def test_without_a_shell_no_program_can_be_run_there(
    toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = module.shutil.which  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "shutil.which", lambda name, path: None if name.endswith("sh") else usual(name, path=path)
    )
    with pytest.raises(GuestReadError, match="no shell of this host can be run in the appliance"):
        toolbox.run(DEVICE, "exit 0", needs=())


def test_programs_that_cannot_be_packed_are_no_crash(
    toolbox: Toolbox, appliance: Appliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library has gone since ldd named it, as it does while the host is upgraded."""
    usual = module.os.path.realpath  # type: ignore[attr-defined]
    gone = "/nonexistent/libc.so.6"
    monkeypatch.setattr("os.path.realpath", lambda path: gone if "libc.so" in path else usual(path))
    with pytest.raises(GuestReadError, match="cannot be packed for the appliance: No such file or directory"):
        toolbox.run(DEVICE, "exit 0", needs=())
    assert appliance.uploads == 0
