"""The paths that commits changed, against ``git log``: loose objects and packs, links, modes, merges."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from guestrepair.formats.git_repository import Commit, GitRepository
from guestrepair.formats.git_trees import Changes

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="asks git")
COMMITS = 60


def git(repository: Path, *arguments: str) -> bytes:
    who = ["-c", "user.name=alice", "-c", "user.email=alice@h", "-c", "core.quotePath=false"]
    return subprocess.run(["git", *who, *arguments], cwd=repository, check=True, capture_output=True).stdout


def changed(repository: Path, chance: random.Random) -> None:
    """One change of those that an administrator makes."""
    directory = repository / chance.choice([".", "ssh", "a/b/c", "düsen", "a"])
    path = directory / f"file {chance.randrange(12)}"
    for above in (*directory.parents, directory):
        if above.is_relative_to(repository) and above.is_file():
            above.unlink()
    kind = chance.randrange(6)
    if kind == 0 and path.exists() and not path.is_dir():
        path.unlink()
    elif kind == 1 and directory != repository and directory.exists():
        shutil.rmtree(directory)
        directory.write_text("a file where a directory was\n")
    elif kind == 2:
        directory.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to("/etc/elsewhere")
    elif kind == 3 and path.is_file():
        path.chmod(path.stat().st_mode ^ 0o111)
    else:
        directory.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(f"{chance.random()}\n" * 20)


def expected(repository: Path) -> dict[str, list[str]]:
    log = git(
        repository,
        "log",
        "-z",
        "--no-renames",
        "--diff-merges=first-parent",
        "--name-only",
        "--format=%x01%H",
    )
    found: dict[str, list[str]] = {}
    for part in log.decode().split("\x01")[1:]:
        name, *paths = [piece.strip("\n") for piece in part.split("\0") if piece.strip("\n")]
        found[name] = sorted(paths)
    return found


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("form", ["sha1", "sha256"])
def test_as_git_lists_them(tmp_path: Path, packed: bool, form: str) -> None:
    if packed and form == "sha256":
        pytest.skip("packs of that form are not read")
    chance = random.Random(7)  # noqa: S311 - to be the same every time
    git(tmp_path, "init", "-q", "-b", "master", f"--object-format={form}")
    (tmp_path / "first").write_text("1\n")
    for number in range(COMMITS):
        for _ in range(chance.randrange(1, 4)):
            changed(tmp_path, chance)
        git(tmp_path, "add", "-A")
        git(tmp_path, "commit", "-q", "--allow-empty", "-m", f"commit {number}")
        if number == COMMITS // 2:
            git(tmp_path, "branch", "side")
    git(tmp_path, "checkout", "-q", "side")
    (tmp_path / "on the side").write_text("1\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "side")
    git(tmp_path, "checkout", "-q", "master")
    git(tmp_path, "merge", "-q", "--no-ff", "-m", "merge", "side")
    if packed:
        git(tmp_path, "gc", "-q", "--aggressive")
    top = tmp_path / ".git"
    files = {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}
    commits = [each for each in GitRepository(files).commits() if isinstance(each, Commit)]
    changes = Changes(GitRepository(files))
    told = {commit.name: changes.paths(commit) for commit in commits}
    wanted = expected(tmp_path)
    assert len(told) == COMMITS + 2
    assert all(is_whole for _, is_whole in told.values())
    without_parent = [commit.name for commit in commits if not commit.parents]
    assert [told.pop(name) for name in without_parent] == [([], True)]
    assert {name: paths for name, (paths, _) in told.items()} == {
        name: paths for name, paths in wanted.items() if name not in without_parent
    }
