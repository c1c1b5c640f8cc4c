"""The road: a room imports only what lies before it; and other rules that the code shows."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "guestrepair"
ROAD = (
    "ownership", "errors", "fence", "host_packages", "model", "formats", "guest", "confine", "disk",
    "appliance", "session", "packages", "system", "events", "inventory", "compare", "platforms", "analyzers",
    "repair", "boot", "doctor", "report", "policy", "operations", "fleet", "library", "cli",
)  # fmt: skip
ANYWHERE = {"__init__", "__main__"}
MODULES = sorted(PACKAGE.rglob("*.py"))


def room(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


LOOKED_AT = (ast.Import, ast.ImportFrom, ast.Attribute, ast.Call)


@functools.cache
def nodes(module: Path) -> tuple[ast.AST, ...]:
    """The nodes of a module's syntax tree that some test looks at, parsed once for all tests.

    They go without what is below them where nobody asks for that: whole trees of all modules, kept, would
    be a load on every other test of this process.
    """
    found = []
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, LOOKED_AT):
            found.append(node)
            if isinstance(node, ast.Call):
                node.args, node.keywords = [], []
    return tuple(found)


def imports(module: Path) -> Iterator[str]:
    for node in nodes(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def imported_names(module: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of each ``from module import name``."""
    for node in nodes(module):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)


def name_of(module: Path) -> str:
    return str(module.relative_to(PACKAGE))


def for_each(modules: Iterable[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """One test of all these modules: a test for each costs more than what it looks at."""

    def decorate(look: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            wrong = []
            for module in modules:
                try:
                    look(module)
                except AssertionError as error:
                    wrong.append(f"{name_of(module)}: {error}")
            assert wrong == []

        return test

    return decorate


@for_each(MODULES)
def test_a_room_imports_only_what_lies_before_it(module: Path) -> None:
    if room(module) in ANYWHERE:
        return
    for imported in imports(module):
        parts = imported.split(".")
        if parts[0] == "guestrepair" and len(parts) > 1:
            assert ROAD.index(parts[1]) <= ROAD.index(room(module)), f"{name_of(module)} imports {imported}"


@for_each(MODULES)
def test_libguestfs_stays_in_the_appliance_and_nbd_in_disk(module: Path) -> None:
    for binding, home in (("guestfs", "appliance"), ("nbd", "disk")):
        assert room(module) == home or binding not in set(imports(module))


@for_each(MODULES)
def test_no_file_outgrows_its_reader(module: Path) -> None:
    assert len(module.read_text().splitlines()) <= 400


@for_each(MODULES)
def test_only_the_command_line_exits(module: Path) -> None:
    if room(module) in {"cli", "__main__"}:
        return
    for node in nodes(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            called = (node.value.id, node.attr)
            allowed = name_of(module) in RUN_AS_CHILDREN
            assert called not in {("sys", "exit"), ("os", "_exit")} or allowed, name_of(module)


# Programs of their own, run in a process with limits because what they read is hostile.
RUN_AS_CHILDREN = {
    "disk/attach/http_child.py",
    "disk/attach/unpack_child.py",
    "disk/parted_reader.py",
    "fleet/zygote.py",
    "packages/dnf_child.py",
    "packages/child_start.py",
}


@for_each([m for m in MODULES if room(m) == "analyzers"])
def test_an_analyzer_runs_nothing(module: Path) -> None:
    assert not {"subprocess", "os", "socket", "guestfs"} & set(imports(module))


READING = {
    "read", "read_if_there", "read_range", "read_tree", "read_device", "digests", "xattr", "peek",
    "check_filesystem", "usage",
}  # fmt: skip
IN_ANALYZERS = [m for m in MODULES if room(m) == "analyzers"]


@for_each(IN_ANALYZERS)
def test_rules_judge_facts_and_read_no_guest(module: Path) -> None:
    """What is asked of a guest is asked in system/ and packages/: once, and honestly."""
    if name_of(module) != "analyzers/base.py":
        assert "guestrepair.guest.view.Guest" not in {f"{m}.{n}" for m, n in imported_names(module)}
    for node in nodes(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in READING, f"{name_of(module)}:{node.lineno} calls {node.func.attr}"
        if isinstance(node, ast.Attribute) and name_of(module) != "analyzers/base.py":
            assert node.attr not in {"guest", "_guest", "view"}, f"{name_of(module)}:{node.lineno}"


@for_each([m for m in MODULES if room(m) == "system"])
def test_facts_know_nothing_of_findings_and_repairs(module: Path) -> None:
    judged = {"Finding", "Repair", "Severity", "Safety", "Rule"}
    assert not judged & {name for _, name in imported_names(module)}


@for_each([m for m in MODULES if room(m) == "guest"])
def test_what_may_be_seen_of_a_guest_needs_no_machine(module: Path) -> None:
    """The view, devices and names are pure: neither this host's disks nor a launch is behind them."""
    rooms = {m.split(".")[1] for m in imports(module) if m.startswith("guestrepair.")}
    assert not rooms & {"disk", "appliance", "session", "confine"}
