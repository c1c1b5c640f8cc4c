"""Disks on HTTP servers, right ones and those that do wrong."""

from __future__ import annotations

import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guestrepair.disk import examine
from guestrepair.disk.attach.attachment import Access, attached
from guestrepair.disk.attach.http_source import read_headers
from guestrepair.disk.device import open_image
from guestrepair.errors import GuestRepairError, ImageError, SourceError, UnsafeImageError, UsageError
from tests.oracle.attach.conftest import MIB, location, whole
from tests.support.servers import Misbehaviour, RangeServer, _Handler, make_certificate, nginx, range_server

HASTY = Access(patience_seconds=0.5)


@pytest.fixture
def server(content: bytes) -> Iterator[RangeServer]:
    with range_server(RangeServer(content)) as running:
        yield running


def refused(server: RangeServer, kind: type[GuestRepairError] = ImageError) -> str:
    """What is said of a server, in one line."""
    with pytest.raises(kind) as refusal:
        whole(server.url(), HASTY)
    words = f"{refusal.value.message}; {refusal.value.hint}"
    assert words.isprintable()
    assert refusal.value.hint
    return words


def test_a_disk_is_read_as_it_is(server: RangeServer, content: bytes) -> None:
    assert whole(server.url()) == content
    assert all("Range" in headers for _, headers in server.requests)


def test_nginx_gives_it_out_and_without_ranges_says_what_to_do(
    disk: Path, tmp_path: Path, content: bytes
) -> None:
    with nginx(tmp_path, tmp_path / "nginx") as port:
        assert whole(f"http://127.0.0.1:{port}/{disk.name}") == content
        with pytest.raises(ImageError, match="as a whole only") as refusal:
            whole(f"http://127.0.0.1:{port}/whole/{disk.name}")
        assert "download" in refusal.value.hint
        with pytest.raises(ImageError, match="no such file"):
            whole(f"http://127.0.0.1:{port}/other.raw")


def test_each_part_is_fetched_once_and_nothing_that_is_not_read(server: RangeServer) -> None:
    with attached(location(server.url())) as found, open_image(examine(found)) as device:
        device.read(3 * MIB, 4096)
        time.sleep(0.5)  # until the log was read
        before = found.read_bytes
        device.read(3 * MIB, 4096)
        time.sleep(0.5)
        assert 0 < found.read_bytes == before
        assert found.read_bytes < MIB


def test_certificates_are_checked(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    with range_server(RangeServer(content), certificate) as server:
        with pytest.raises(ImageError, match="certificate is not accepted"):
            whole(server.url(scheme="https"), HASTY)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        assert whole(server.url(scheme="https")) == content
        other_name = server.url(scheme="https").replace("localhost", "127.0.0.1")
        with pytest.raises(ImageError, match="certificate is not accepted"):
            whole(other_name, HASTY)


# --- credentials ---------------------------------------------------------------------------


def header_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "headers"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_headers_are_sent_and_stand_on_no_command_line(server: RangeServer, tmp_path: Path) -> None:
    access = Access(header_file=header_file(tmp_path, "# a token\nAuthorization: Bearer s3cret\n\n"))
    with attached(location(server.url("disk.raw?sig=pr3signed")), access) as found:
        examine(found)
        lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _is_readable(path)]
        files = [path for path in found.path.parent.rglob("*") if path.is_file()]
        told = b"".join([*lines, *(path.read_bytes() for path in files)])
    assert server.requests[-1][0] == "/disk.raw?sig=pr3signed"
    assert server.requests[-1][1]["Authorization"] == "Bearer s3cret"
    assert b"s3cret" not in told
    assert b"pr3signed" not in told


def _is_readable(path: Path) -> bool:
    try:
        return bool(path.read_bytes())
    except OSError:
        return False


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("Authorization: x\n", 0o644, "others can read it"),
        ("no header\n", 0o600, "headers:1"),
        ("A: b\nRange: bytes=0-1\n", 0o600, "headers:2"),
        ("A: b\x01\n", 0o600, "headers:1"),
        ("A: b\n" * 14_000, 0o600, "more than"),
    ],
)
def test_a_file_of_headers_that_is_none_is_wrong_usage(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        read_headers(header_file(tmp_path, text, mode))


def test_a_missing_file_of_headers_is_wrong_usage(server: RangeServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        whole(server.url(), Access(header_file=tmp_path / "nothing"))


# --- redirects -----------------------------------------------------------------------------


def redirecting(target: str) -> Misbehaviour:
    def answer(_server: RangeServer, handler: _Handler, _first: int, _last: int) -> bool:
        if handler.path == "/disk.raw":
            handler.begin(302, {"Location": target, "Content-Length": "0"})
            return True
        return False

    return answer


def test_a_redirect_is_followed_without_the_credentials(
    server: RangeServer, tmp_path: Path, content: bytes
) -> None:
    access = Access(header_file=header_file(tmp_path, "X-Token: s3cret\n"))
    with range_server(RangeServer(content)) as other:
        server.wrong = redirecting(other.url("moved.raw"))
        assert whole(server.url(), access) == content
        assert server.requests[0][1]["X-Token"] == "s3cret"
        assert all("X-Token" not in headers for _, headers in other.requests)
        assert len(server.requests) == 1, "the place is asked directly once it is known"


def test_a_redirect_that_no_longer_holds_is_asked_for_again(server: RangeServer, content: bytes) -> None:
    served: list[str] = []

    def once(owner: RangeServer, handler: _Handler, first: int, last: int) -> bool:
        if handler.path == "/disk.raw":
            served.append(f"/signed-{len(served)}")
            handler.begin(302, {"Location": served[-1], "Content-Length": "0"})
        elif handler.path != served[-1] or len(owner.requests) % 5 == 0:
            handler.begin(403, {"Content-Length": "0"})
        else:
            return False
        return True

    server.wrong = once
    assert whole(server.url(), HASTY) == content
    assert len(served) > 1


@pytest.mark.parametrize(
    "target", ["file:///etc/shadow", "ftp://localhost/x", "gopher://x/", "//", "http://[::1", ""]
)
def test_redirects_lead_to_http_alone(server: RangeServer, target: str) -> None:
    server.wrong = redirecting(target)
    assert "redirect" in refused(server)


def test_redirects_without_end_end(server: RangeServer) -> None:
    server.wrong = redirecting("/disk.raw")
    assert "more than 5 redirects" in refused(server)
    assert len(server.requests) < 20


def test_a_redirect_from_https_to_http_is_not_followed(
    server: RangeServer, tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
    with (
        range_server(RangeServer(content, redirecting(server.url())), certificate) as safe,
        pytest.raises(ImageError, match="from https to http"),
    ):
        whole(safe.url(scheme="https"), HASTY)
    assert server.requests == []


# --- servers that do wrong -----------------------------------------------------------------


def saying(**changed: str) -> Misbehaviour:
    def answer(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
        server.give(handler, first, last, **changed)
        return True

    return answer


def status(number: int) -> Misbehaviour:
    def answer(_server: RangeServer, handler: _Handler, _first: int, _last: int) -> bool:
        handler.begin(number, {"Content-Length": "0"})
        return True

    return answer


def hang(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    time.sleep(30)
    return True


def drip(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    """Keep busy without end, a byte at a time."""
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\n")
    for _ in range(300):
        handler.wfile.write(b"X")
        handler.wfile.flush()
        time.sleep(0.1)
    return True


def garbage(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    handler.wfile.write(b"\x00\x1b[31m SSH-2.0 nonsense\r\n" * 100)
    handler.close_connection = True
    return True


def without_end(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    """Headers without end."""
    handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\n" + b"A: b\r\n" * 100_000)
    handler.close_connection = True
    return True


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (saying(Content_Range="bytes 0-0/*"), "how long the file is"),
        (saying(Content_Range="bytes 0-0/99999999999999999999999"), "how long the file is"),
        (saying(Content_Range="bytes 7-7/5242880"), "bytes 7-7"),
        (saying(Content_Encoding="gzip"), "compresses"),
        (status(401), "credentials"),
        (status(403), "signed address"),
        (status(404), "no such file"),
        (status(500), "status 500"),
        (status(999), "status 999"),
        (status(204), "status 204"),
        (hang, "no"),
        (drip, "no whole answer in time"),
        (garbage, "not HTTP"),
        (without_end, "not HTTP"),
    ],
)
def test_what_is_wrong_from_the_start_is_said_in_one_line(
    server: RangeServer, wrong: Misbehaviour, said: str
) -> None:
    server.wrong = wrong
    before = time.monotonic()
    assert said in refused(server)
    assert time.monotonic() - before < 20


def test_a_size_that_no_disk_has_is_refused(server: RangeServer) -> None:
    server.wrong = saying(Content_Range="bytes 0-0/999999999999999999")
    assert "no disk image has" in refused(server, UnsafeImageError)


def test_nobody_there(server: RangeServer) -> None:
    port = server.port
    with pytest.raises(ImageError, match="not known"):
        whole("http://nobody.invalid/disk.raw", HASTY)
    server.port = 1
    assert "no connection" in refused(server)
    server.port = port


def later(wrong: Misbehaviour, after: int = 2) -> Misbehaviour:
    """Wrong only from some request on."""

    def answer(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
        return len(server.requests) > after and wrong(server, handler, first, last)

    return answer


def change(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    server.etag = '"2"'
    return False


def grow(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    server.content = server.content + bytes(512) if len(server.content) == 5 * MIB else server.content
    return False


def touch(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    server.modified = "Mon, 30 Nov 2026 10:00:01 GMT"
    return False


def shrink(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    handler.begin(416, {"Content-Range": "bytes */0", "Content-Length": "0"})
    return True


def die(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    handler.close_connection = True
    return True


def cut(server: RangeServer, handler: _Handler, first: int, last: int) -> bool:
    """Say a length, and send less."""
    said = f"bytes {first}-{last}/{len(server.content)}"
    server.give(handler, first, first + 9, Content_Length=str(last - first + 1), Content_Range=said)
    handler.close_connection = True
    return True


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (change, "changed while it was read: another ETag"),
        (grow, "changed while it was read: 5242880 bytes before, 5243392 now"),
        (touch, "changed while it was read: another time"),
        (shrink, "changed while it was read: it is shorter"),
        (die, "ended the connection"),
        (cut, "sends less than it says"),
        (hang, "no"),
        (status(503), "status 503"),
    ],
)
def test_what_goes_wrong_in_the_middle_makes_all_of_it_count_for_nothing(
    server: RangeServer, wrong: Misbehaviour, said: str
) -> None:
    server.wrong = later(wrong)
    assert said in refused(server, SourceError)


def test_a_change_is_noticed_though_nothing_more_is_read(server: RangeServer) -> None:
    def read_and_change() -> None:
        with attached(location(server.url())) as found:
            with found.opened() as source:
                source.read(0, 512)
            server.etag = '"2"'

    with pytest.raises(SourceError, match="changed while it was read"):
        read_and_change()


def test_a_server_that_fails_now_and_then_is_asked_again(server: RangeServer, content: bytes) -> None:
    def now_and_then(owner: RangeServer, handler: _Handler, first: int, last: int) -> bool:
        kinds = (die, status(503), cut)
        number = len(owner.requests)
        return number % 3 == 0 and kinds[number // 3 % 3](owner, handler, first, last)

    server.wrong = now_and_then
    assert whole(server.url(), Access(patience_seconds=2)) == content


# --- headers of containers -----------------------------------------------------------------


def test_a_header_leads_to_no_file_of_this_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.raw").write_bytes(b"secret" * 1024)
    for name, options in (
        ("backed.qcow2", ["-b", "secret.raw", "-F", "raw"]),
        ("data.qcow2", ["-o", "data_file=other.raw,data_file_raw=on"]),
    ):
        command = ["qemu-img", "create", "-q", "-f", "qcow2", *options, name, "1M"]
        subprocess.run(command, check=True, cwd=tmp_path)
        with range_server(RangeServer((tmp_path / name).read_bytes())) as server:
            for input_format in (None, "qcow2"):
                with pytest.raises(UnsafeImageError, match="names another file"):
                    whole(server.url(name), input_format=input_format)
            monkeypatch.chdir(tmp_path)
            with (
                attached(location(server.url(name))) as found,
                pytest.raises(UnsafeImageError, match="names another file"),
            ):
                examine(found, allow_backing=[tmp_path])


def test_the_names_say_what_a_raw_disk_is(server: RangeServer) -> None:
    server.content = b"QFI\xfb\0\0\0\3" + server.content[8:]
    with pytest.raises(UnsafeImageError, match="named like a raw disk"):
        whole(server.url("disk.raw"))


def test_a_private_directory_holds_all_and_nothing_stays(server: RangeServer) -> None:
    with attached(location(server.url())) as found:
        private = found.path.parent
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert not private.exists()
