"""ld.so.preload and libraries from outside of the packages: broken, healthy, unreadable, hostile."""

from __future__ import annotations

import pytest

from guestrepair.analyzers.base import Context, run_analyzer
from guestrepair.analyzers.packages import ANALYZER
from guestrepair.guest.memory import MemoryGuest
from guestrepair.model import EditFile, Effect, Examination, Finding, GuestPath, RemoveFile, Safety, Severity
from tests.unit.packages.elf_files import AARCH64, I386, elf, ld_so_cache

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
LOADER = "/lib64/ld-linux-x86-64.so.2"
PLACES = b"\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0"
PRELOAD = "/etc/ld.so.preload"
AGENT = "/usr/lib/agent/libagent.so"
LIBC = elf(soname="libc.so.6", defines=("GLIBC_2.2.5", "GLIBC_2.36"))


def debian(*, interpreter: str = LOADER) -> MemoryGuest:
    """A merged guest whose init needs libc and libpam in versions that are there."""
    guest = MemoryGuest()
    for name in ("bin", "sbin", "lib", "lib64"):
        guest.directory(f"/usr/{name}")
        guest.link(f"/{name}", f"usr/{name}")
    guest.file("/usr/lib64/ld-linux-x86-64.so.2", elf(soname="ld-linux-x86-64.so.2") + PLACES)
    needs = {"libc.so.6": ("GLIBC_2.36",), "libpam.so.0": ("LIBPAM_1.0",)}
    guest.file("/usr/sbin/init", elf(*needs, interpreter=interpreter, needs=needs), mode=0o755)
    guest.file("/usr/bin/login", elf("libpam.so.0", interpreter=interpreter), mode=0o755)
    guest.file(f"{LIBRARIES}/libc.so.6", LIBC)
    guest.file(f"{LIBRARIES}/libpam.so.0", elf(soname="libpam.so.0", defines=("LIBPAM_1.0",)))
    return guest


def examined(guest: MemoryGuest) -> Examination:
    return run_analyzer(ANALYZER, Context(guest))


def found(guest: MemoryGuest) -> list[Finding]:
    findings, inconclusive = examined(guest)
    assert not inconclusive
    return findings


def preloaded(text: str, agent: bytes | None = None) -> MemoryGuest:
    guest = debian()
    guest.file(PRELOAD, text)
    if agent is not None:
        guest.file(AGENT, agent, mode=0o755)
    return guest


SOUND = elf("libc.so.6", soname="libagent.so", needs={"libc.so.6": ("GLIBC_2.2.5",)})
LOST = elf("libagent-core.so.3", "libc.so.6", soname="libagent.so")
NEWER = elf("libc.so.6", needs={"libc.so.6": ("GLIBC_2.99",)})


@pytest.mark.parametrize("agent", [LOST, NEWER], ids=["a lost library", "a newer libc"])
@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"{AGENT}\n", "\n"),
        (AGENT, ""),
        (f"# the agent\n\t{AGENT} # end\n", "# the agent\n\t # end\n"),
        (f"/usr/lib/$LIB/none.so:{AGENT}\n", "/usr/lib/$LIB/none.so:\n"),
    ],
)
def test_an_entry_that_ends_every_program_is_taken_out(text: str, left: str, agent: bytes) -> None:
    finding = next(f for f in found(preloaded(text, agent)) if f.severity is Severity.ERROR)
    assert (finding.rule, finding.effect) == ("packages/preload", Effect.STOPS_BOOT)
    assert finding.repair is not None
    (change,) = finding.repair.changes
    assert isinstance(change, EditFile)
    assert (finding.repair.safety, change.before, change.after) == (
        Safety.REVIEW,
        text.encode(),
        left.encode(),
    )
    mended = preloaded(left, agent)
    assert all(f.severity is Severity.NOTE for f in found(mended))


@pytest.mark.parametrize(
    ("text", "agent"),
    [
        (f"{AGENT}\n", SOUND),
        (f"#{AGENT}\n", LOST),
        (f"{AGENT}\n", elf("libc.so.6", needs={"libc.so.6": ("weak:GLIBC_2.99",)})),
        ("/usr/lib/agent/$PLATFORM/../libagent.so /usr/lib/agent/libagent.so", SOUND),
        ("libc.so.6\n", None),
        ("", None),
    ],
)
def test_an_entry_that_loads_is_no_finding(text: str, agent: bytes | None) -> None:
    guest = preloaded(text, agent)
    guest.directory("/usr/lib/agent/x86_64")
    assert found(guest) == []


@pytest.mark.parametrize("name", ["$LIB", "${LIB}"])
@pytest.mark.parametrize(
    ("places", "directory"),
    [
        (PLACES, "/usr/lib/x86_64-linux-gnu"),
        (b"\0/lib64/\0/usr/lib64/\0", "/usr/lib64"),
        (b"\0/lib/\0/usr/lib/\0", "/usr/lib"),
    ],
)
def test_lib_is_what_the_loader_itself_says(name: str, places: bytes, directory: str) -> None:
    guest = preloaded(f"/{name}/libagent.so\n")
    guest.file("/usr/lib64/ld-linux-x86-64.so.2", elf(soname="ld-linux-x86-64.so.2") + places)
    guest.file(f"{directory}/libagent.so", SOUND)
    assert found(guest) == []
    guest.file(f"{directory}/libagent.so", LOST)
    assert [f.rule for f in found(guest)] == ["packages/preload"]


@pytest.mark.parametrize(
    "agent",
    [
        None,
        b"",
        b"no library\n",
        elf("libgone.so.1", machine=I386),
        elf("libgone.so.1", machine=AARCH64),
        LOST[:90],
    ],
)
def test_what_ld_so_passes_over_is_a_note(agent: bytes | None) -> None:
    (finding,) = found(preloaded(f"{AGENT}\n", agent))
    assert (finding.rule, finding.severity) == ("packages/preload", Severity.NOTE)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_a_library_that_another_entry_brings_is_not_lost() -> None:
    guest = preloaded(f"{AGENT} /opt/core.so\n", LOST)
    guest.file("/opt/core.so", elf(soname="libagent-core.so.3"))
    assert found(guest) == []


def test_musl_reads_no_such_file() -> None:
    guest = debian(interpreter="/lib/ld-musl-x86_64.so.1")
    guest.file("/usr/lib/ld-musl-x86_64.so.1", elf())
    guest.file("/usr/lib/libpam.so.0", elf(soname="libpam.so.0"))
    guest.file(PRELOAD, f"{AGENT}\n")
    assert found(guest) == []


def test_a_preload_that_cannot_be_read_is_inconclusive() -> None:
    guest = preloaded(f"{AGENT}\n", LOST)
    guest.nodes[GuestPath(PRELOAD)].unreadable = "Input/output error"
    findings, inconclusive = examined(guest)
    assert not findings
    assert any(PRELOAD in lost.reason for lost in inconclusive)


def test_without_the_loaders_configuration_nothing_is_certain() -> None:
    guest = preloaded(f"{AGENT}\n", LOST)
    guest.file("/etc/ld.so.cache", b"x").unreadable = "Input/output error"
    findings, inconclusive = examined(guest)
    assert not findings
    assert inconclusive


# --- library-shadowed ---------------------------------------------------------------------------

OLD = elf(soname="libpam.so.0", defines=("LIBPAM_0.9",))
LOCAL = "/usr/local/lib/libpam.so.0.1"


def shadowed(content: bytes, cache: bytes | None = None) -> MemoryGuest:
    guest = debian()
    guest.file(LOCAL, content)
    guest.link("/usr/local/lib/libpam.so.0", "libpam.so.0.1")
    guest.file("/etc/ld.so.conf", "/usr/local/lib\n")
    known = ("libpam.so.0", "/usr/local/lib/libpam.so.0"), ("libpam.so.0", f"{LIBRARIES}/libpam.so.0")
    guest.file("/etc/ld.so.cache", ld_so_cache(*known) if cache is None else cache)
    return guest


@pytest.mark.parametrize("is_old", [False, True])
def test_a_library_without_the_versions_that_comes_first(is_old: bool) -> None:
    cache = ld_so_cache(("libpam.so.0", "/usr/local/lib/libpam.so.0"), old=is_old)
    (finding,) = found(shadowed(OLD, cache))
    assert (finding.rule, finding.subject, finding.effect) == (
        "packages/library-shadowed",
        LOCAL,
        Effect.STOPS_BOOT,
    )
    assert "LIBPAM_1.0" in finding.message
    assert finding.repair is not None
    assert finding.repair.safety is Safety.REVIEW
    assert finding.repair.changes == (
        RemoveFile(path=GuestPath(LOCAL), aside="disabled-"),
        RemoveFile(path=GuestPath("/usr/local/lib/libpam.so.0"), backup=False),
    )
    mended = shadowed(OLD, cache)
    mended.remove(LOCAL)
    assert found(mended) == []


HEALTHY = {
    "a newer one": shadowed(elf(soname="libpam.so.0", defines=("LIBPAM_1.0", "LIBPAM_2.0"))),
    "without versions": shadowed(elf(soname="libpam.so.0")),
    "of another machine": shadowed(elf(soname="libpam.so.0", machine=AARCH64)),
    "of another ABI in the cache": shadowed(
        elf(soname="libpam.so.0", defines=("LIBPAM_1.0",)),
        ld_so_cache(("libpam.so.0", "/usr/local/lib/libpam.so.0"), abi=0x0003),
    ),
}


@pytest.mark.parametrize("guest", HEALTHY.values(), ids=HEALTHY)
def test_a_library_that_serves_or_is_passed_over(guest: MemoryGuest) -> None:
    assert found(guest) == []


def test_a_stale_cache_is_no_finding() -> None:
    guest = shadowed(OLD)
    guest.remove(LOCAL)
    assert found(guest) == []
    guest.remove("/usr/local/lib/libpam.so.0")
    assert found(guest) == []


def test_a_library_that_nobody_needs() -> None:
    guest = shadowed(OLD, ld_so_cache(("libz.so.1", "/usr/local/lib/libz.so.1")))
    guest.remove("/usr/local/lib/libpam.so.0")
    guest.file("/usr/local/lib/libz.so.1", elf(soname="libz.so.1", defines=("ZLIB_1.2",)))
    assert found(guest) == []


@pytest.mark.parametrize(
    "cache", [b"", b"glibc-ld.so.cache1.1", ld_so_cache(("libz.so.1", "/usr/lib/libz.so.1"))]
)
def test_what_the_next_ldconfig_puts_first_is_a_warning(cache: bytes) -> None:
    (finding,) = found(shadowed(OLD, cache))
    assert (finding.rule, finding.severity) == ("packages/library-shadowed", Severity.WARNING)
    assert "once ldconfig runs again" in finding.message


def test_a_directory_for_some_processors() -> None:
    guest = debian()
    place = "/usr/local/lib/glibc-hwcaps/x86-64-v3/libpam.so.0"
    guest.file(place, OLD)
    guest.file("/etc/ld.so.conf", "/usr/local/lib\n")
    (finding,) = found(guest)
    assert (finding.subject, finding.severity) == (place, Severity.ERROR)
    assert "on some processors" in finding.message


def test_nothing_behind_it_is_left_to_a_person() -> None:
    guest = shadowed(OLD)
    guest.remove(f"{LIBRARIES}/libpam.so.0")
    (finding,) = found(guest)
    assert finding.repair is not None
    assert finding.repair.safety is Safety.MANUAL


def test_a_packaged_library_of_another_version_is_one_that_does_not_fit() -> None:
    guest = debian()
    guest.file(f"{LIBRARIES}/libpam.so.0", OLD)
    (finding,) = found(guest)
    assert (finding.rule, finding.effect) == ("packages/library-unresolved", Effect.STOPS_BOOT)
    assert "two versions are mixed" in finding.message


def test_a_hostile_cache_leads_nowhere() -> None:
    paths = ("../../../etc/passwd", "/dev/../../x", "/usr/local/lib/\n", "relative.so", "/proc/self/mem")
    guest = shadowed(OLD, ld_so_cache(*(("libpam.so.0", path) for path in paths)))
    guest.remove(LOCAL)
    assert found(guest) == []
