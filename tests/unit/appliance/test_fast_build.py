"""The faster appliance: built whole from the host's own, or not at all. supermin is a script in its place."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from guestrepair.appliance import fast_build as module
from guestrepair.appliance import reseeding
from guestrepair.appliance.cache import cache_directory, is_sound
from guestrepair.appliance.fast_build import FastAppliance, fast_appliance
from tests.unit.appliance.test_init_script import INITRD, SCRIPT

BUILDS = """#!/bin/sh
PATH=/usr/bin:/bin
while [ "$1" != -o ]; do own=$last last=$1; shift; done
echo run >> {place}/runs
cp "$last/init.tar.gz" {place}/edited
mkdir "$2"
for name in kernel root; do echo $name > "$2/$name"; done
cp {place}/initrd "$2/initrd"
chmod 0666 "$2"/*
"""


@pytest.fixture
def stock(tmp_path: Path) -> Path:
    """libguestfs's own appliance, of a kind that is known."""
    folder = tmp_path / "guestfs" / "supermin.d"
    folder.mkdir(parents=True)
    (folder / "packages").write_text("bash\n")
    with tarfile.open(folder / "init.tar.gz", "w:gz") as tar:
        for name, content in (("./init", SCRIPT), ("./etc/other", "as it was")):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content.encode()))
        link = tarfile.TarInfo("./sbin/init")
        link.type, link.linkname = tarfile.SYMTYPE, "../init"
        tar.addfile(link)
    return folder.parent


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/guestrepair"


@pytest.fixture
def supermin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Callable[[str], None]:
    """Puts a script in supermin's place; without one there is none."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "initrd").write_bytes(INITRD)

    def does(script: str) -> None:
        program = tmp_path / "bin/supermin"
        program.write_text(script.replace("{place}", str(tmp_path)))
        program.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    does(BUILDS)
    return does


def built(stock: Path, wanted: Callable[[], bool] = lambda: True) -> tuple[FastAppliance | None, list[str]]:
    said: list[str] = []
    return fast_appliance(str(stock), "1.0", said.append, wanted), said


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines()) if (tmp_path / "runs").exists() else 0


def test_it_is_built_once_with_the_trimmed_script_for_us_alone(
    stock: Path, supermin: Callable[[str], None], cache: Path, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        appliance, said = built(stock)
    finally:
        os.umask(before)
    assert appliance is not None
    assert appliance.built
    assert said == ["preparing a faster appliance (once; it takes some seconds)"]
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in appliance.directory.iterdir()}
    assert files == dict.fromkeys(("kernel", "initrd", "root", "README.fixed"), 0o600)
    assert b"ata_piix.ko\nvirtio_net" not in (appliance.directory / "initrd").read_bytes()
    with tarfile.open(tmp_path / "edited") as tar:
        content = {m.name: tar.extractfile(m).read().decode("latin-1") for m in tar if m.isreg()}  # type: ignore[union-attr]
        assert tar.getmember("./sbin/init").linkname == "../init"
        assert tar.getmember("./init").mode == 0o755
    assert "lvm pvscan" not in content["./init"]
    assert content["./etc/other"] == "as it was"
    assert (reseeding.NAME in content) is (reseeding.program() is not None)
    assert built(stock) == (appliance, [])
    assert runs(tmp_path) == 1
    assert {path.name for path in cache.iterdir()} == {"appliance.lock", appliance.directory.name}


def test_another_release_or_other_packages_have_one_of_their_own(
    stock: Path, supermin: Callable[[str], None], tmp_path: Path
) -> None:
    first, _ = built(stock)
    (stock / "supermin.d/packages").write_text("bash\nmdadm\n")
    second, _ = built(stock)
    third = fast_appliance(str(stock), "1.1", lambda _line: None)
    assert len({first, second, third, None}) == 4
    assert runs(tmp_path) == 3


def test_where_libguestfs_looks_in_several_places_the_first_that_fits_counts(
    stock: Path, supermin: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    assert fast_appliance(f"{tmp_path / 'empty'}:{stock}", "1.0", lambda _line: None) is not None
    monkeypatch.chdir(stock)
    assert (
        fast_appliance(":/absent", "1.0", lambda _line: None) is not None
    )  # an empty part is where we stand
    assert fast_appliance(str(tmp_path / "empty"), "1.0", lambda _line: None) is None
    assert runs(tmp_path) == 1


FAILS = {
    "ends with an error": "#!/bin/sh\necho run >> {place}/runs\nexit 1\n",
    "makes no root": BUILDS.replace("kernel root", "kernel"),
    "cannot be run": "#!/no/such/interpreter\n",
    "takes too long": "#!/bin/sh\nexec /bin/sleep 60\n",
}


@pytest.mark.parametrize("script", FAILS.values(), ids=FAILS)
def test_a_build_that_fails_is_no_error_leaves_nothing_and_waits_a_day(
    script: str, stock: Path, supermin: Callable[[str], None], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUILD_SECONDS", 0.2)
    supermin(script)
    assert built(stock)[0] is None
    (directory,) = cache.glob("appliance-*")
    assert [path.name for path in directory.iterdir()] == ["unusable"]
    assert list(cache.glob(".building-*")) == []
    supermin(BUILDS)
    assert built(stock) == (None, [])
    yesterday = time.time() - 25 * 3600
    os.utime(directory / "unusable", (yesterday, yesterday))
    assert built(stock)[0] is not None


def cut_off(archive: bytes) -> bytes:
    return archive[: len(archive) // 2]


def damaged(archive: bytes) -> bytes:
    return archive[:40] + bytes(20) + archive[60:]


def not_text(_archive: bytes) -> bytes:
    return packed(b"\xff\xfe")


def without_script(_archive: bytes) -> bytes:
    return packed(b"", "other")


def packed(content: bytes, name: str = "init") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("broken", [cut_off, damaged, not_text, without_script])
def test_an_archive_that_is_no_whole_one_is_no_error(
    broken: Callable[[bytes], bytes],
    stock: Path,
    supermin: Callable[[str], None],
    cache: Path,
    tmp_path: Path,
) -> None:
    """As while the host's libguestfs is being upgraded, or its disk is bad."""
    archive = stock / "supermin.d/init.tar.gz"
    archive.write_bytes(broken(archive.read_bytes()))
    assert built(stock)[0] is None
    assert runs(tmp_path) == 0
    assert len(list(cache.rglob("unusable"))) == 1


def test_who_waited_for_a_build_that_failed_does_not_try_it_again(
    stock: Path, supermin: Callable[[str], None], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands begin at once: what the second finds when its turn comes is that the first gave up."""
    usual = module._locked

    def late(path: Path, wanted: Callable[[], bool]) -> object:
        (directory,) = (cache / f"appliance-{module._key(stock / 'supermin.d', '1.0')}",)
        FastAppliance(directory).give_up()
        return usual(path, wanted)

    monkeypatch.setattr(module, "_locked", late)
    assert built(stock) == (None, [])
    assert runs(tmp_path) == 0


@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_what_lies_in_its_place_makes_way(
    kind: str, stock: Path, supermin: Callable[[str], None], cache: Path, tmp_path: Path
) -> None:
    cache.mkdir(parents=True)
    place = cache / f"appliance-{module._key(stock / 'supermin.d', '1.0')}"
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    if kind == "file":
        place.touch()
    elif kind == "link":
        place.symlink_to(tmp_path / "kept")
    else:
        (place / "half").mkdir(parents=True)
    appliance, _ = built(stock)
    assert appliance is not None
    assert appliance.built
    assert (tmp_path / "kept/file").exists()


def test_only_what_nobody_uses_any_more_is_tidied_away(
    stock: Path, supermin: Callable[[str], None], cache: Path
) -> None:
    old, names = (
        time.time() - 25 * 3600,
        ("appliance-old", ".building-old", "appliance-new", ".building-new", "other-old"),
    )
    for name in names:
        (cache / name).mkdir(parents=True)
        (cache / name / "file").touch()
        if name.endswith("-old"):
            os.utime(cache / name, (old, old))
    appliance, _ = built(stock)
    assert appliance is not None
    left = {path.name for path in cache.iterdir()} - {"appliance.lock", appliance.directory.name}
    assert left == {"appliance-new", ".building-new", "other-old"}


def test_a_cache_that_is_not_ours_is_said_once(
    stock: Path, supermin: Callable[[str], None], cache: Path, tmp_path: Path
) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    appliance, said = built(stock)
    assert appliance is None
    assert len(said) == 1
    assert "libguestfs's own is used" in said[0]
    assert str(cache) in said[0]
    assert runs(tmp_path) == 0


def test_who_has_no_home_has_no_cache_and_no_crash(
    stock: Path, supermin: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that runs under a number that its user database does not have."""
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 4_000_000)
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    with pytest.raises(FileNotFoundError, match="there is no home directory"):
        cache_directory()
    assert built(stock) == (None, [])


def test_a_cache_of_another_user_s_is_none(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_directory()
    monkeypatch.setattr("os.geteuid", lambda: 4_000_000)
    with pytest.raises(PermissionError):
        cache_directory()
    assert not is_sound(cache)


def test_marks_that_cannot_be_made_cost_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    appliance = FastAppliance(tmp_path / "file" / "appliance")
    for mark in (appliance.prove, appliance.give_up, appliance.failed):
        mark()
    assert (appliance.proven, appliance.given_up, appliance.built) == (False, False, False)
