"""What a name on the command line stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from guestrepair.disk.attach.location import Kind, Location, parse_image_name
from guestrepair.errors import UsageError


def attached(text: str) -> Location:
    name = parse_image_name(text)
    assert isinstance(name, Location)
    return name


@pytest.mark.parametrize("text", ["disk.qcow2", "/dev/vdb", "a!b", "C:disk.img", "x.tar.gz", "a@b", "x:/y"])
def test_a_plain_name_is_a_path(text: str) -> None:
    assert parse_image_name(text) == Path(text)


def test_a_file_uri_is_the_file() -> None:
    assert parse_image_name("file:///srv/a%20b.qcow2") == Path("/srv/a b.qcow2")
    assert attached("file:///srv/x.tar!d.raw").path == "/srv/x.tar"


def test_a_file_uri_of_an_archive_that_is_there(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar"
    archive.touch()
    name = attached(f"file://{archive}!d.raw")
    assert (name.path, name.member) == (str(archive), "d.raw")
    assert parse_image_name(f"file://{archive}") == archive


def test_https() -> None:
    name = attached("https://host:8443/a/disk.qcow2?X-Amz-Signature=secret")
    assert (name.kind, name.host, name.port) == (Kind.HTTP, "host", 8443)
    assert name.url == "https://host:8443/a/disk.qcow2?X-Amz-Signature=secret"
    assert str(name) == "https://host:8443/a/disk.qcow2?…"
    assert "secret" not in repr(name)
    assert (name.name, name.suffix, name.stem) == ("disk.qcow2", ".qcow2", "disk")


@pytest.mark.parametrize(
    "text", ["https://h/x.tar.gz!d.raw?sig=secret", "https://h/x.tar.gz?sig=secret!d.raw"]
)
def test_a_query_belongs_to_the_address_wherever_it_stands(text: str) -> None:
    name = attached(text)
    assert (name.url, name.member) == ("https://h/x.tar.gz?sig=secret", "d.raw")
    assert str(name) == "https://h/x.tar.gz?…!d.raw"


def test_ssh() -> None:
    name = attached("ssh://root@[::1]:2222/srv/disk%20one.raw.gz")
    assert (name.host, name.port, name.user, name.path) == ("::1", 2222, "root", "/srv/disk one.raw.gz")
    assert name.is_compressed
    assert name.name == "disk one.raw"
    assert attached("ssh://host/~/disk.raw").path == "disk.raw"


def test_nbd() -> None:
    name = attached("nbd://host/an/export")
    assert (name.kind, name.host, name.port, name.export) == (Kind.NBD, "host", 10809, "an/export")
    name = attached("nbd+unix:///e?socket=/run/a%20b")
    assert (name.host, name.path, name.export) == ("", "/run/a b", "e")
    assert not attached("nbd://host/x.gz").is_compressed


@pytest.mark.parametrize(
    ("text", "path", "member", "inner"),
    [
        ("d.raw.gz", "d.raw.gz", "", "d.raw"),
        ("d.qcow2.XZ", "d.qcow2.XZ", "", "d.qcow2"),
        ("a!b/x.tar!c!d.raw", "a!b/x.tar", "c!d.raw", "c!d.raw"),
        ("x.tar.zst!in/d.raw", "x.tar.zst", "in/d.raw", "d.raw"),
        ("m.ova!d.vmdk", "m.ova", "d.vmdk", "d.vmdk"),
    ],
)
def test_wrapped_files(text: str, path: str, member: str, inner: str) -> None:
    name = attached(text)
    assert (name.kind, name.path, name.member, name.name) == (Kind.FILE, path, member, inner)


def test_a_file_of_that_very_name_and_directories_are_themselves(tmp_path: Path) -> None:
    (tmp_path / "x.tar!d.raw").touch()
    (tmp_path / "donor.gz").mkdir()
    for name in ("x.tar!d.raw", "donor.gz"):
        assert parse_image_name(str(tmp_path / name)) == tmp_path / name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://user:secret@host/d", "--header-file"),
        ("https://u@host/d", "--header-file"),
        ("https:///d", "no host"),
        ("https://h:port/d", "not whole"),
        ("https://h/d\x1b[1m", "characters"),
        ("https://h/a b", "characters"),
        ("ssh://u:secret@h/d", "password"),
        ("ssh://h", "no file"),
        ("ssh://-oProxyCommand=x/d", "no host"),
        ("ssh://h/%0ad", "control character"),
        ("nbd+unix:///e", "no socket"),
        ("nbd+unix:///e?socket=relative", "no socket"),
        ("file://elsewhere/d", "no file of this host"),
        ("s3://bucket/d", "presigned"),
        ("ftp://h/d", "not opened here"),
        ("gopher://h/d", "not opened here"),
    ],
)
def test_what_is_refused_is_said_without_secrets(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_image_name(text)
    words = f"{refusal.value.message} {refusal.value.hint}"
    assert said in words
    assert "secret" not in words
    assert words.isprintable()
