"""The table of mounts: what it says, what its lines mean, and how it reads once they are put right."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from guestrepair.errors import GuestReadError
from guestrepair.guest.devices import BlockDevice, DeviceKind, Mount
from guestrepair.guest.memory import MemoryGuest
from guestrepair.guest.mount_plan import plan_mounts
from guestrepair.model import GuestPath
from guestrepair.system.guest_system import System
from guestrepair.system.mounts import Mounts
from guestrepair.system.mounts.meaning import State
from guestrepair.system.mounts.normalize import How
from tests.unit.analyzers.fstab_guest import (
    DATA,
    ESP,
    GONE,
    HEALTHY,
    HOME,
    ROOT,
    SWAP,
    device,
    guest,
    part,
    usual,
)

DATA_LINE = f"UUID={DATA} /data ext4 defaults 0 2\n"
HOME_LINE = f"UUID={HOME} /home btrfs subvol=@home 0 0\n"


def devices() -> list[BlockDevice]:
    """The usual ones, two more filesystems, a container, and a volume."""
    return [
        *usual(),
        part(5, "ext4", DATA),
        part(6, "btrfs", HOME, subvolumes=("@home", "@snapshots"), subvolume_ids=(256, 300)),
        part(7, "crypto_LUKS", GONE),
        device("/dev/mapper/luks-x", "xfs", "in-it", kind=DeviceKind.CRYPT, parents=("/dev/sda7",)),
        device("/dev/vg0/srv", "xfs", "srv", kind=DeviceKind.LOGICAL_VOLUME, parents=("/dev/sda8",)),
    ]


def of(made: MemoryGuest) -> Mounts:
    """The mounts of a guest."""
    return System(made).mounts


def mounts(text: str | bytes | None, found: Iterable[BlockDevice] = ()) -> Mounts:
    """The mounts of a guest with this table."""
    return of(guest(text, list(found) or devices()))


# --- the table ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "problem", "text"),
    [
        (HEALTHY.encode(), "", HEALTHY),
        (HEALTHY.encode("utf-16"), "UTF-16 text", HEALTHY),
        (HEALTHY.encode() + b"\0\0", "NUL bytes", HEALTHY),
        (HEALTHY.replace("none ", "none\u00a0").encode(), "blanks that are no ASCII blanks", HEALTHY),
        (b"# caf\xc3\xa9\xc2\xa0au lait\n", "", "# caf\u00e9\u00a0au lait\n"),
        (b"\0" * 16, "", "\0" * 16),
        (b"", "", ""),
    ],
)
def test_a_table_is_taken_as_plain_text(data: bytes, problem: str, text: str) -> None:
    found = mounts(data)
    assert found.data == data
    assert (found.plain.problem if found.plain is not None else "") == problem
    assert found.text.decode() == text


def test_no_table_and_a_directory_in_its_place_are_no_table() -> None:
    made = guest(None)
    assert (of(made).data, of(made).table, of(made).judged, of(made).as_repaired) == (None, None, (), None)
    made.directory("/etc/fstab")
    assert (of(made).is_a_directory, of(made).table) == (True, None)


@pytest.mark.parametrize("what", ["data", "text", "table", "specs", "judged", "as_repaired"])
def test_a_table_that_cannot_be_read_is_an_error_each_time(what: str) -> None:
    made = guest(HEALTHY)
    made.nodes[GuestPath("/etc/fstab")].unreadable = "Input/output error"
    found = of(made)
    for _ in range(2):
        with pytest.raises(GuestReadError, match=r"/etc/fstab: Input/output error"):
            getattr(found, what)


def test_a_table_that_is_too_large_is_an_error_that_names_it() -> None:
    with pytest.raises(GuestReadError, match=r"/etc/fstab: more than 10000 lines"):
        _ = mounts("#\n" * 10_001).table


@pytest.mark.parametrize(
    ("line", "how", "raw"),
    [
        ("UUID=a /x ext4 defaults, noatime", How.READ, "UUID=a /x ext4 defaults,noatime"),
        (f"UUID={DATA} /data", How.READ, f"UUID={DATA} /data ext4 defaults 0 2"),
        ("rubbish", How.OUT_OF_USE, "#guestrepair: rubbish"),
        ("UUID=a /x ext4 /y nodev 0 0", How.OUT_OF_USE, "#guestrepair: UUID=a /x ext4 /y nodev 0 0"),
        ("/ ext4", How.REBUILT, f"UUID={ROOT} / ext4 defaults 0 1"),
    ],
)
def test_a_line_that_does_not_parse_is_read_where_it_stands(line: str, how: How, raw: str) -> None:
    text = f"# first\n{line}\n{DATA_LINE.replace('/data', '/later')}"
    found = mounts(text)
    reading = found.readings[2]
    assert (reading.how, (reading.raw or b"").decode()) == (how, raw)
    assert found.table is not None
    assert [bytes(entry.line.raw).decode() for entry in found.table.entries][:-1] == (
        [] if how is How.OUT_OF_USE else [raw]
    )
    last = found.table.entries[-1]
    assert found.text[last.source_token.offset :].startswith(f"UUID={DATA} /later".encode())


def test_the_line_of_a_root_that_nothing_names_is_left() -> None:
    found = mounts("/ ext4\n", [part(3, "ext4", "", partuuid="")])
    assert [(r.how, r.raw) for r in found.readings.values()] == [(How.LEFT, None)]
    assert found.as_repaired is None


# --- what lines mean --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "state", "named", "meant"),
    [
        (DATA_LINE, State.RESOLVED, "/dev/sda5", "/dev/sda5"),
        (DATA_LINE.replace(DATA, DATA.replace("9d8c", "9d8d")), State.MISSING, "", "/dev/sda5"),
        (DATA_LINE.replace(f"UUID={DATA}", "/dev/vda5"), State.RESOLVED, "/dev/sda5", "/dev/sda5"),
        (DATA_LINE.replace(f"UUID={DATA}", "/dev/mapper/secret"), State.MISSING, "", ""),
        (DATA_LINE.replace(DATA, GONE), State.CONTAINER, "/dev/sda7", "/dev/sda7"),
        (DATA_LINE.replace("ext4", "nfs"), State.RESOLVED, "/dev/sda5", "/dev/sda5"),
        (DATA_LINE.replace(DATA, "0").replace("ext4", "tmpfs"), State.MISSING, "", ""),
        (f"nas:/{DATA} /data nfs defaults 0 0\n", State.NOT_A_DEVICE, "", ""),
        (f"{DATA} /data tmpfs defaults 0 0\n", State.NOT_A_DEVICE, "", ""),
        (DATA_LINE.replace(f"UUID={DATA}", "/dev/disk/by-id/ata-X-part5"), State.UNKNOWN, "", "/dev/sda5"),
        (DATA_LINE.replace(f"UUID={DATA}", "/dev/disk/by-id/ata-X"), State.UNKNOWN, "", ""),
        (DATA_LINE.replace(f"UUID={DATA}", "/dev/sda5[/x]"), State.MISSING, "", ""),
        (DATA_LINE.replace(f"UUID={DATA}", "/dev//sda5"), State.RESOLVED, "/dev/sda5", "/dev/sda5"),
    ],
)
def test_what_a_line_means(line: str, state: State, named: str, meant: str) -> None:
    (judged,) = [j for j in mounts(HEALTHY + line).judged if j.spec.number == 5]
    assert judged.state is state
    assert (judged.device.name if judged.device is not None else "") == named
    assert (judged.meant.name if judged.meant is not None else "") == meant


def test_what_crypttab_opens_is_named_by_its_name() -> None:
    made = guest(HEALTHY + "/dev/mapper/secret /data xfs defaults 0 0\n", devices())
    made.file("/etc/crypttab", f"secret UUID={GONE} none luks\n")
    assert [j.device.name for j in of(made).judged if j.device is not None][-1] == "/dev/mapper/luks-x"


def test_a_crypttab_that_cannot_be_read_may_open_what_a_line_names() -> None:
    made = guest(HEALTHY + "/dev/mapper/secret /data xfs defaults 0 0\n", devices())
    made.file("/etc/crypttab", "").unreadable = "Input/output error"
    found = of(made)
    assert [j.state for j in found.judged][-1] is State.UNKNOWN
    with pytest.raises(GuestReadError, match=r"/etc/crypttab: Input/output error"):
        _ = found.crypt


UNIT = f"[Mount]\nWhat=/dev/disk/by-uuid/{DATA}\nWhere=/data/\nType=ext4\nOptions=nodev,nosuid\n"
OWN = "/etc/systemd/system"


def linked(folder: str) -> Callable[[MemoryGuest], None]:
    def change(made: MemoryGuest) -> None:
        made.link(f"{OWN}/local-fs.target.{folder}/data.mount", "../data.mount")

    return change


def masked(made: MemoryGuest) -> None:
    linked("requires")(made)
    made.link(f"{OWN}/data.mount", "../../../dev/null")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda _: None, []),
        (linked("wants"), [("/data", "ext4", ("nodev", "nosuid"), False)]),
        (linked("requires"), [("/data", "ext4", ("nodev", "nosuid"), True)]),
        (masked, []),
    ],
)
def test_mount_units_that_are_enabled_are_mounts(
    change: Callable[[MemoryGuest], None], expected: list[object]
) -> None:
    made = guest("", devices())
    made.file(f"{OWN}/data.mount", UNIT)
    change(made)
    (*found,) = of(made).specs
    assert [(s.target, s.type, s.options, s.required) for s in found] == expected
    for spec in found:
        assert spec.place == f"{OWN}/data.mount:2"
        assert spec.before[spec.offset :].startswith(f"/dev/disk/by-uuid/{DATA}\n".encode())


def test_a_source_that_a_drop_in_sets_stands_nowhere_in_the_unit() -> None:
    made = guest("", devices())
    made.file(f"{OWN}/data.mount", UNIT)
    made.file(f"{OWN}/data.mount.d/x.conf", "[Mount]\nWhat=/dev/vg0/srv\n")
    linked("requires")(made)
    (spec,) = of(made).specs
    assert (spec.source, spec.length) == ("/dev/vg0/srv", 0)


def test_what_might_have_told_more_and_cannot_be_read_is_named() -> None:
    made = guest(HEALTHY, devices())
    made.file(f"{OWN}/data.mount", UNIT).unreadable = "bad sector"
    linked("requires")(made)
    made.nodes[GuestPath("/etc/passwd")].unreadable = "bad sector"
    made.nodes[GuestPath("/boot/grub/grub.cfg")].unreadable = "bad sector"
    paths = {each.path for each in of(made).unread}
    assert paths == {f"{OWN}/data.mount", "/etc/passwd", "/boot/grub/grub.cfg"}
    assert [j.state for j in of(made).judged] == [State.RESOLVED] * 3


# --- what else is asked ----------------------------------------------------------------


def test_only_copies_that_hold_a_table_are_older_tables() -> None:
    made = guest(HEALTHY)
    for name in ("fstab.bak", "fstab~", "fstab-", ".fstab.swp", "fstab.orig"):
        made.file(f"/etc/{name}", HEALTHY)
    made.file("/etc/fstabulous", HEALTHY)
    made.file("/etc/fstab.empty", "# nothing\n")
    made.file("/etc/fstab.broken", HEALTHY).unreadable = "bad sector"
    assert {path.name for path, _ in of(made).backups} == {
        "fstab.bak",
        "fstab~",
        "fstab-",
        ".fstab.swp",
        "fstab.orig",
    }


@pytest.mark.parametrize(
    ("target", "names"),
    [("/home", {"alice"}), ("/data", {"x", "src"}), ("/nowhere", set()), ("/", {"root", "home", "data"})],
)
def test_names_below_a_mount_point_are_those_that_tables_use(target: str, names: set[str]) -> None:
    made = guest("/data/src /mnt none bind 0 0\nUUID=a /data/x/y ext4 defaults 0 0\n")
    made.file(
        "/etc/passwd",
        "root:x:0:0::/root:\nalice:x:1000:1:::\nalice:x:1000:1::/home/alice:\nd:x:9:9::/home/d:\n",
    )
    assert of(made).names_below(target) >= names
    assert target == "/" or of(made).names_below(target) == names


def test_what_lies_under_a_mount_that_is_missing_here_is_not_covered() -> None:
    made = guest(HEALTHY + DATA_LINE, devices())
    assert [of(made).covered(p) for p in ("/data", "/data/x", "/home/x")] == [True, False, True]
    made.mounts = (*made.mounts, Mount("/dev/sda5", "/data", "ext4"))
    assert of(made).covered("/data/x")


def test_names_at_the_top_of_what_cannot_be_mounted_are_not_known() -> None:
    made = guest(HEALTHY, devices())
    del made.top_names["/dev/sda5"]
    made.top_names["/dev/sda6"] = ("alice",)
    found = of(made)
    assert [found.top_names(d) for d in made.block.devices[4:6]] == [None, frozenset({"alice"})]


# --- put right ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "right"),
    [
        (DATA_LINE, None),
        (DATA_LINE.replace(DATA, DATA.replace("9d8c", "9d8d")), DATA_LINE),
        (DATA_LINE.replace(DATA, DATA.upper()), DATA_LINE),
        (DATA_LINE.replace("defaults", "defaults, nodev"), DATA_LINE.replace("defaults", "defaults,nodev")),
        (HOME_LINE.replace("@home", "@hoem"), HOME_LINE),
        (HOME_LINE.replace(HOME, HOME[:-2]), HOME_LINE),
        ("/dev/mapper/vg0-svr /srv xfs defaults 0 0\n", "/dev/mapper/vg0-srv /srv xfs defaults 0 0\n"),
        ("/dev/mapper/vg1-x /opt xfs defaults 0 0\n", None),
        ("/dev/sda5 /data ext4 defaults 0 2\n", None),
        (DATA_LINE.replace("ext4", "xfs"), None),
        ("rubbish\n", "#guestrepair: rubbish\n"),
        (f"UUID={GONE[::-1]} /srv ext3 nofail 0 2\n", None),
    ],
)
def test_the_table_as_it_reads_once_its_lines_are_put_right(written: str, right: str | None) -> None:
    for end in ("\n", "\r\n"):
        text = (HEALTHY + written).replace("\n", end).encode()
        expected = None if right is None else (HEALTHY + right).replace("\n", end).encode()
        assert mounts(text).as_repaired == expected


def test_what_a_wrong_line_hides_is_mounted_once_it_is_put_right() -> None:
    made = guest(HEALTHY + DATA_LINE.replace(DATA, DATA.replace("9d8c", "9d8d")), devices())
    root = made.block.get("/dev/sda3")
    assert root is not None
    assert [t for t, _ in plan_mounts(made, root, lambda _: ()).unmounted] == ["/data"]
    plan = plan_mounts(made, root, lambda _: (), fstab=of(made).as_repaired)
    assert (plan.unmounted, [str(m.target) for m in plan.mounts][-2:]) == ((), ["/data", "/boot/efi"])


def test_a_table_in_another_encoding_is_put_right_as_plain_text() -> None:
    text = (HEALTHY + DATA_LINE).encode("utf-16")
    assert mounts(text).as_repaired == (HEALTHY + DATA_LINE).encode()


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"\0", b"\xef\xbb\xbf", b"a" * 100_000, b"\n" * 9_000, b"\xff \xff \xff"]
)
def test_any_bytes_give_a_table(data: bytes) -> None:
    found = mounts(data)
    assert found.as_repaired is None or isinstance(found.as_repaired, bytes)
    assert {SWAP, ESP}.isdisjoint(found.sources)
