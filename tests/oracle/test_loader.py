"""ld.so as the judge: a small chroot of this host's shell, with libraries preloaded, shadowed and gone.

Each case changes a fresh tree; the shell is started in it, and the rules must call that fatal which is fatal.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.analyzers.base import Context
from guestrepair.analyzers.packages import libraries, preload, shadowed
from guestrepair.guest.host_directory import HostDirectoryGuest
from guestrepair.model import Finding, Severity

SHELL = Path("/bin/bash")
LOADER = Path("/lib64/ld-linux-x86-64.so.2")
TINFO = "libtinfo.so.6"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="chroot is for root only"),
    pytest.mark.skipif(not LOADER.exists(), reason="written for x86-64 with glibc"),
    pytest.mark.skipif(
        not all(map(shutil.which, ("gcc", "ldconfig", "unshare"))),
        reason="gcc, ldconfig or unshare is missing",
    ),
]
Case = Callable[["Tree"], None]


class Tree:
    """A root directory in which the shell starts, with nothing else in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in (
            "etc/ld.so.conf.d",
            "usr/bin",
            "usr/lib",
            "usr/local/lib",
            "usr/lib64",
            "opt/agent",
            "tmp",
        ):
            (root / folder).mkdir(parents=True)
        for name in ("bin", "lib", "lib64"):
            (root / name).symlink_to(f"usr/{name}")
        said = subprocess.run(["ldd", SHELL], capture_output=True, text=True, check=True).stdout
        needed = [word for line in said.splitlines() for word in line.split() if word.startswith("/")]
        for path in map(Path, [str(SHELL), *needed]):
            self.copy(path, path)
        self.directory = next(Path(path).parent for path in needed if path.endswith(TINFO))
        self.write("etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n")
        self.write("etc/ld.so.conf.d/local.conf", "/usr/local/lib\n")
        self.ldconfig()

    def at(self, path: Path | str) -> Path:
        where = self.root / str(path).lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        return where

    def copy(self, source: Path, place: Path | str, old: bytes = b"", new: bytes = b"") -> None:
        content = source.resolve().read_bytes()
        assert old in content
        self.at(place).write_bytes(content.replace(old, new) if old else content)
        self.at(place).chmod(0o755)

    def tinfo(self, place: str, *, is_old: bool) -> None:
        """The shell's library as it is, or with another name for all versions of its symbols."""
        words = (b"NCURSES6_TINFO", b"NCURSES6_TIMFO") if is_old else (b"", b"")
        self.copy(self.directory / TINFO, f"{place}/{TINFO}", *words)

    def write(self, path: str, text: str) -> None:
        self.at(path).write_text(text)

    def preload(self, text: str) -> None:
        self.write("etc/ld.so.preload", text)

    def ldconfig(self) -> None:
        subprocess.run(["ldconfig", "-r", self.root], check=True, capture_output=True)

    def build(self, place: str, *options: str, source: str = "", soname: str = "") -> None:
        name = soname or place.rpartition("/")[2]
        command = ["gcc", "-shared", "-fPIC", "-nostdlib", "-x", "c", "-", "-o", str(self.at(place))]
        command += ["-x", "none", f"-Wl,-soname,{name}", "-Wl,--no-as-needed", *options]
        subprocess.run(command, input=source.encode(), check=True, capture_output=True)

    def agent(self, place: str, *, needs: str = "") -> None:
        """A library to be preloaded; the one that it needs is not in the tree."""
        stub = f"../stubs-{self.root.name}/{needs}"
        if needs:
            self.build(stub)
        self.build(place, *([str(self.at(stub))] if needs else []), source="int agent(void) { return 1; }")

    def demanding(self, place: str, *, is_weak: bool = False) -> None:
        """A library that needs a version of libc that no libc has."""
        stub = f"../stubs-{self.root.name}/libc.so.6"
        versions = self.at(f"../stubs-{self.root.name}/map")
        versions.write_text("GLIBC_9.9 { global: future; };\n")
        self.build(stub, f"-Wl,--version-script,{versions}", source="int future(void) { return 1; }")
        weak = "__attribute__((weak)) " if is_weak else ""
        source = f"{weak}extern int future(void); int f(void) {{ return future ? future() : 0; }}"
        self.build(place, str(self.at(stub)), source=source)

    def starts(self) -> bool:
        """Whether the shell starts in it, each symbol looked up at once; ``$ORIGIN`` needs /proc."""
        (self.root / "proc").mkdir(exist_ok=True)
        inside = 'mount -t proc proc "$0/proc" && LD_BIND_NOW=1 exec chroot "$0" /bin/bash -c "exit 0"'
        command = ["unshare", "--mount", "sh", "-c", inside, str(self.root)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def findings(self) -> list[Finding]:
        context = Context(HostDirectoryGuest(self.root))
        checks = (preload.check, shadowed.check, libraries.unresolved)
        return [found for check in checks for found in check(context) if isinstance(found, Finding)]


CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


@case
def untouched(tree: Tree) -> None:
    pass


@case
def preload_missing(tree: Tree) -> None:
    tree.preload("/opt/agent/none.so\n")


@case
def preload_empty_file(tree: Tree) -> None:
    tree.write("opt/agent/a.so", "")
    tree.preload("/opt/agent/a.so\n")


@case
def preload_text_file(tree: Tree) -> None:
    tree.write("opt/agent/a.so", "no library\n" * 100)
    tree.preload("/opt/agent/a.so\n")


@case
def preload_directory(tree: Tree) -> None:
    tree.preload("/opt/agent\n")


@case
def preload_other_class(tree: Tree) -> None:
    tree.agent("opt/agent/a.so", needs="libgone.so.1")
    content = bytearray(tree.at("opt/agent/a.so").read_bytes())
    content[4] = 1
    tree.at("opt/agent/a.so").write_bytes(content)
    tree.preload("/opt/agent/a.so\n")


@case
def preload_other_machine(tree: Tree) -> None:
    tree.agent("opt/agent/a.so", needs="libgone.so.1")
    content = bytearray(tree.at("opt/agent/a.so").read_bytes())
    content[18:20] = b"\xb7\0"
    tree.at("opt/agent/a.so").write_bytes(content)
    tree.preload("/opt/agent/a.so\n")


@case
def preload_sound(tree: Tree) -> None:
    tree.agent("opt/agent/a.so")
    tree.preload("# an agent\n/opt/agent/a.so\n")


@case
def preload_lost_library(tree: Tree) -> None:
    tree.agent("opt/agent/a.so", needs="libgone.so.1")
    tree.preload("/opt/agent/a.so\n")


@case
def preload_lost_library_in_a_comment(tree: Tree) -> None:
    tree.agent("opt/agent/a.so", needs="libgone.so.1")
    tree.preload("#/opt/agent/a.so\n")


@case
def preload_without_a_line_end(tree: Tree) -> None:
    tree.agent("opt/agent/a.so", needs="libgone.so.1")
    tree.preload("/opt/agent/none.so:/opt/agent/a.so")


@case
def preload_dos_line(tree: Tree) -> None:
    tree.agent("opt/agent/a.so", needs="libgone.so.1")
    tree.at("etc/ld.so.preload").write_bytes(b"/opt/agent/a.so\r\n")


@case
def preload_newer_libc(tree: Tree) -> None:
    tree.demanding("opt/agent/a.so")
    tree.preload("/opt/agent/a.so\n")


@case
def preload_newer_libc_weakly(tree: Tree) -> None:
    tree.demanding("opt/agent/a.so", is_weak=True)
    tree.preload("/opt/agent/a.so\n")


@case
def preload_lib_token(tree: Tree) -> None:
    tree.agent(f"{tree.directory}/a.so")
    tree.preload("/$LIB/a.so\n")


@case
def preload_lib_token_lost_library(tree: Tree) -> None:
    tree.agent(f"{tree.directory}/a.so", needs="libgone.so.1")
    tree.preload("/${LIB}/a.so\n")


@case
def preload_lib_token_nowhere(tree: Tree) -> None:
    tree.agent("opt/agent/a.so", needs="libgone.so.1")
    tree.preload("/opt/agent/$LIB/a.so\n")


@case
def preload_origin_token(tree: Tree) -> None:
    tree.agent("opt/agent/a.so", needs="libgone.so.1")
    tree.preload("$ORIGIN/../../opt/agent/a.so\n")


@case
def preload_bare_name(tree: Tree) -> None:
    tree.agent(f"{tree.directory}/liba.so.1", needs="libgone.so.1")
    tree.preload("liba.so.1\n")


@case
def preload_bare_name_nowhere(tree: Tree) -> None:
    tree.agent("opt/agent/liba.so.1", needs="libgone.so.1")
    tree.preload("liba.so.1\n")


@case
def preload_bare_name_of_the_cache(tree: Tree) -> None:
    tree.agent("usr/local/lib/liba.so.1", needs="libgone.so.1")
    tree.ldconfig()
    tree.preload("liba.so.1\n")


@case
def preload_needs_the_other_entry(tree: Tree) -> None:
    tree.agent("opt/agent/a.so", needs="libother.so.1")
    tree.agent("opt/agent/libother.so.1")
    tree.preload("/opt/agent/a.so /opt/agent/libother.so.1\n")


@case
def preload_dangling_link(tree: Tree) -> None:
    tree.at("opt/agent/a.so").symlink_to("gone.so")
    tree.preload("/opt/agent/a.so\n")


@case
def shadow_of_the_same_versions(tree: Tree) -> None:
    tree.tinfo("usr/local/lib", is_old=False)
    tree.ldconfig()


@case
def shadow_without_the_versions(tree: Tree) -> None:
    tree.tinfo("usr/local/lib", is_old=True)
    tree.ldconfig()


@case
def shadow_that_the_cache_has_not(tree: Tree) -> None:
    tree.tinfo("usr/local/lib", is_old=True)


@case
def shadow_of_a_stale_cache(tree: Tree) -> None:
    tree.tinfo("usr/local/lib", is_old=True)
    tree.ldconfig()
    tree.at(f"usr/local/lib/{TINFO}").unlink()


@case
def shadow_in_a_directory_of_a_vendor(tree: Tree) -> None:
    tree.write("etc/ld.so.conf.d/vendor.conf", "/opt/vendor/lib\n")
    tree.tinfo("opt/vendor/lib", is_old=True)
    tree.ldconfig()


@case
def shadow_in_the_directory_without_configuration(tree: Tree) -> None:
    tree.tinfo("opt/vendor/lib", is_old=True)
    tree.ldconfig()


@case
def shadow_without_symbols(tree: Tree) -> None:
    tree.build(f"usr/local/lib/{TINFO}")
    tree.ldconfig()


@case
def shadow_behind_a_cache_cut_off(tree: Tree) -> None:
    tree.tinfo("usr/local/lib", is_old=True)
    tree.ldconfig()
    cache = tree.at("etc/ld.so.cache")
    cache.write_bytes(cache.read_bytes()[:40])


@case
def shadow_without_a_cache(tree: Tree) -> None:
    tree.tinfo("usr/local/lib", is_old=True)
    tree.at("etc/ld.so.cache").unlink()


@case
def shadow_of_another_class(tree: Tree) -> None:
    tree.tinfo("usr/local/lib", is_old=True)
    place = tree.at(f"usr/local/lib/{TINFO}")
    content = bytearray(place.read_bytes())
    content[4] = 1
    tree.ldconfig()
    place.write_bytes(content)


@case
def shadow_that_is_empty(tree: Tree) -> None:
    tree.tinfo("usr/local/lib", is_old=False)
    tree.ldconfig()
    tree.at(f"usr/local/lib/{TINFO}").write_bytes(b"")


@case
def shadow_of_a_library_that_nobody_needs(tree: Tree) -> None:
    tree.build("usr/local/lib/libcrypto.so.3")
    tree.ldconfig()


@case
def shadow_of_better_processors(tree: Tree) -> None:
    tree.tinfo("usr/local/lib/glibc-hwcaps/x86-64-v2", is_old=True)
    tree.tinfo("usr/local/lib", is_old=False)
    tree.ldconfig()


@case
def library_gone(tree: Tree) -> None:
    tree.at(tree.directory / TINFO).unlink()


@pytest.mark.parametrize("name", CASES)
def test_what_the_loader_says_the_rules_say(name: str, tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    assert tree.starts()
    CASES[name](tree)
    errors = [found for found in tree.findings() if found.severity is Severity.ERROR]
    assert bool(errors) is not tree.starts(), errors
