"""/etc/machine-id that is none: what systemd would take, what is kept of it, and what is not judged."""

from __future__ import annotations

import pytest

from guestrepair.formats.machine_id import MachineIdState, machine_id_state
from guestrepair.model import Change, EmptyFile, GuestPath, Safety, Severity, WriteFile
from tests.unit.analyzers.test_system_rules import findings, healthy

ID = b"5f1d2c340b6e4c399d5a6a1f3be0c1aa"
PATH = GuestPath("/etc/machine-id")
VALID, INVALID = MachineIdState.VALID, MachineIdState.INVALID


@pytest.mark.parametrize(
    ("data", "state"),
    [
        (b"", MachineIdState.EMPTY),
        (b"uninitialized", MachineIdState.UNINITIALIZED),
        (b"uninitialized\n", MachineIdState.UNINITIALIZED),
        (b"uninitialized\n\n", INVALID),
        (ID, VALID),
        (ID + b"\n", VALID),
        (ID.upper(), VALID),
        (ID + b"\r\n", INVALID),
        (ID + b"\n\n", INVALID),
        (ID + b"\neab\n", INVALID),
        (b" " + ID, INVALID),
        (ID[:-1] + b"g", INVALID),
        (ID[:-1], INVALID),
        (b"0" * 32 + b"\n", INVALID),
        (b"5f1d2c34-0b6e-4c39-9d5a-6a1f3be0c1aa\n", INVALID),
        (b"\n", INVALID),
    ],
)
def test_the_states(data: bytes, state: MachineIdState) -> None:
    assert machine_id_state(data) is state


@pytest.mark.parametrize("data", [b"", b"uninitialized\n", ID + b"\n", None])
def test_what_systemd_reads_is_silent(data: bytes | None) -> None:
    guest = healthy()
    if data is not None:
        guest.file(str(PATH), data)
    assert findings(guest) == []


@pytest.mark.parametrize(
    ("data", "safety", "change"),
    [
        (ID + b"\neab\n", Safety.SAFE, WriteFile(path=PATH, before=ID + b"\neab\n", after=ID + b"\n")),
        (ID + b"\n\0\0", Safety.SAFE, WriteFile(path=PATH, before=ID + b"\n\0\0", after=ID + b"\n")),
        (b"web-7\n", Safety.REVIEW, EmptyFile(path=PATH, before_bytes=6)),
        (ID + b"\r\n", Safety.REVIEW, EmptyFile(path=PATH, before_bytes=34)),
        (b"0" * 32 + b"\nx", Safety.REVIEW, EmptyFile(path=PATH, before_bytes=34)),
        (ID + b"\n" + b"x" * 9000, Safety.REVIEW, EmptyFile(path=PATH, before_bytes=9033)),
    ],
)
def test_an_invalid_one_is_an_error(data: bytes, safety: Safety, change: Change) -> None:
    guest = healthy()
    guest.file(str(PATH), data)
    (found,) = findings(guest)
    assert (found.rule, found.severity) == ("system/machine-id-invalid", Severity.ERROR)
    assert found.repair is not None
    assert (found.repair.safety, found.repair.changes) == (safety, (change,))


def test_without_systemd_it_is_nobody_s() -> None:
    guest = healthy()
    guest.file(str(PATH), "web-7\n")
    for path in ("/usr/lib/systemd", "/etc/systemd", "/lib"):
        guest.remove(path)
    assert "system/machine-id-invalid" not in {f.rule for f in findings(guest)}
