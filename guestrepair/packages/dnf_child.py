"""Downloads one package of an rpm distribution, its index read by dnf's library; a process of its own.

The repositories are those that a guest names, so what they answer is hostile: this
file is started as a script (``python3 -I dnf_child.py``), without root's rights and with limits on
memory, time and written bytes. It takes one JSON request on stdin and writes one JSON object:
``{"path": NAME}`` (a file in the working directory) or ``{"error": WORDS, "kind": …}``, where
the words only serve to tell kinds of failure apart. It imports nothing of guestrepair.

librepo follows ``file:`` in a list of mirrors, in a metalink, and in the ``href`` and
``xml:base`` of an index, so nothing is left to it to download: all transfers are made here, of http
and https alone, and dnf is given an index on this disk. The host's own configuration of dnf is
not read; nothing is installed.

Sources: dnf's API reference (``dnf.Base``, ``dnf.repo.Repo``); createrepo_c's format of repomd.xml;
RFC 5854 (metalink); rpmkeys(8).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urljoin

INDEX_BYTES = 512 * 1024**2
SMALL_BYTES = 2 * 1024**2
PACKAGE_BYTES = 1024**3
SOCKET_SECONDS = 30
MAX_MIRRORS = 5

_WEB = re.compile(r"https?://[A-Za-z0-9\[][!-~]*", re.IGNORECASE)
_REPOMD = "repodata/repomd.xml"
_COMPRESSED = re.compile(r"\.(?:gz|xz|zst|bz2)\Z")
_CHECKSUMS = {"sha": "sha1", "sha1": "sha1", "sha224": "sha224", "sha256": "sha256", "sha384": "sha384",
              "sha512": "sha512"}  # fmt: skip
_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_INDEX = """<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo"><revision>1</revision><data type="primary">
<checksum type="{kind}">{digest}</checksum><location href="repodata/{name}"/><timestamp>1</timestamp>
</data></repomd>
"""


class FetchError(Exception):
    """A repository, mirror or file that will not do."""


# --- transfers ----------------------------------------------------------------------


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to http and https alone, and never from https back to http."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """The request that follows, or an error."""
        if not _WEB.fullmatch(newurl) or (req.type == "https" and not newurl.lower().startswith("https:")):
            raise FetchError("Redirection to an address that is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def opener() -> urllib.request.OpenerDirector:
    """Opens http and https, through the proxy that the environment names; no file, no ftp, no data."""
    made = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        Redirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        made.add_handler(handler)
    made.addheaders = [("User-Agent", "guestrepair")]
    return made


def get(url: str, target: Path, limit: int) -> Path:
    """The answer of an address, in a file."""
    if not _WEB.fullmatch(url):
        raise FetchError("an address that is refused")
    user, address = _without_user(url)
    request = urllib.request.Request(address)  # noqa: S310 - http and https, as checked
    if user:
        request.add_unredirected_header("Authorization", user)
    try:
        with opener().open(request, timeout=SOCKET_SECONDS) as answer, target.open("wb") as out:
            while block := answer.read(1024 * 1024):
                limit -= len(block)
                if limit < 0:
                    raise FetchError("a file larger than any of its kind: unexpected size")
                out.write(block)
    except (OSError, ValueError) as error:
        raise FetchError(f"{error}") from error
    except Exception as error:  # http.client has its own, of an odd answer
        raise FetchError(f"{type(error).__name__}: {error}") from error
    return target


def _without_user(url: str) -> tuple[str, str]:
    """The header that a ``user:password@`` in an address stands for, and the address without it."""
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    user, at, host = place.rpartition("@")
    if not at:
        return "", url
    token = base64.b64encode(unquote(user).encode()).decode()
    return f"Basic {token}", f"{scheme}://{host}{slash}{path}"


# --- repositories -------------------------------------------------------------------


def bases(repository: dict[str, Any]) -> list[str]:
    """Where a repository lies: its own addresses, then those of its list of mirrors."""
    found = list(repository["baseurl"])
    for key in ("metalink", "mirrorlist"):
        if repository[key] and not found:
            text = get(repository[key], Path("mirrors"), SMALL_BYTES).read_bytes()
            is_metalink = b"<metalink" in text[:4096]
            found += _of_metalink(text) if is_metalink else text.decode("utf-8", "replace").split()
    good = [url.rstrip("/") + "/" for url in found if _WEB.fullmatch(url)]
    if not good:
        raise FetchError("no address of http or https")
    return good[:MAX_MIRRORS]


def _of_metalink(text: bytes) -> list[str]:
    found = []
    for element in _parsed(text).iter():
        url = (element.text or "").strip()
        if element.tag.rpartition("}")[2] == "url" and url.endswith(_REPOMD):
            found.append(url[: -len(_REPOMD)])
    return found


def _parsed(text: bytes) -> ET.Element:
    try:
        return ET.fromstring(text)  # noqa: S314 - small, in a process with limits; expat bounds entities
    except ET.ParseError as error:
        raise FetchError("no XML: a file is not what it should be, checksum") from error


def joined(base: str, href: str | None, other_base: str | None) -> str:
    """Where a location of an index leads: of http and https alone."""
    url = urljoin(urljoin(base, other_base.rstrip("/") + "/") if other_base else base, href or "")
    if not _WEB.fullmatch(url):
        raise FetchError("an index led to another kind of address: Redirection refused")
    return url


def index(number: int, repository: dict[str, Any]) -> tuple[str, Path]:
    """The first mirror that answers, and a directory with its index of packages, its digest checked.

    What came of it is kept: this runs once for each package.
    """
    place = Path(f"repository-{number}").absolute()
    known = place / "known"
    if not known.exists():
        place.mkdir(exist_ok=True)
        known.write_text(json.dumps(_first(repository, place)))
    base, problem = json.loads(known.read_text())
    if problem:
        raise FetchError(problem)
    return base, place


def _first(repository: dict[str, Any], place: Path) -> tuple[str, str]:
    """The address that has an index; or "" and why none has."""
    problem = "no address"
    try:
        for base in bases(repository):
            try:
                _index(base, place)
            except FetchError as error:
                problem = str(error)
            else:
                return base, ""
    except FetchError as error:
        problem = str(error)
    return "", problem


def _index(base: str, place: Path) -> None:
    (place / "repodata").mkdir(parents=True, exist_ok=True)
    found = _parsed(get(base + _REPOMD, place / "repomd", SMALL_BYTES).read_bytes())
    for data in found.iter("{http://linux.duke.edu/metadata/repo}data"):
        if data.get("type") == "primary":
            location, checksum = data.find("{*}location"), data.find("{*}checksum")
            if location is None or checksum is None:
                break
            url = joined(base, location.get("href"), location.get(_BASE))
            suffix = _COMPRESSED.search(url)
            name = f"primary.xml{suffix.group() if suffix else ''}"
            kind, digest = checksum.get("type") or "", (checksum.text or "").strip().lower()
            check(get(url, place / "repodata" / name, INDEX_BYTES), kind, digest)
            text = _INDEX.format(kind=_CHECKSUMS[kind], digest=digest, name=name)
            (place / _REPOMD).write_text(text)
            return
    raise FetchError("no index of packages: a host has no such repository, Not Found")


def check(path: Path, kind: str | None, digest: str | None) -> None:
    """Raise unless the file has this digest."""
    if kind not in _CHECKSUMS or not digest:
        raise FetchError("checksum of an unknown kind")
    real = hashlib.new(_CHECKSUMS[kind], usedforsecurity=False)
    with path.open("rb") as content:
        for block in iter(lambda: content.read(1024 * 1024), b""):
            real.update(block)
    if real.hexdigest() != digest:
        raise FetchError("checksum: a file is not what its index says")


def indexes(repositories: list[dict[str, Any]]) -> Iterator[tuple[int, str, Path]]:
    """Number, address and index of every repository that answers; the last failure when none does."""
    last, count = None, 0
    for number, repository in enumerate(repositories):
        try:
            base, place = index(number, repository)
        except FetchError as error:
            last = error
            continue
        count += 1
        yield number, base, place
    if not count and last is not None:
        raise last


# --- dnf ----------------------------------------------------------------------------


def configured(dnf: Any, home: Path, arch: str) -> Any:
    """A dnf that knows nothing of this host."""
    # It makes a cache as soon as it is there, in a directory that is fixed in it.
    dnf.const.TMPDIR = str(home)
    base = dnf.Base()
    conf = base.conf
    for option in ("installroot", "cachedir", "persistdir", "logdir"):
        (home / option).mkdir(exist_ok=True)
        setattr(conf, option, str(home / option))
    conf.reposdir = []
    conf.pluginpath = []
    conf.plugins = False
    # The guest's variables stand filled in already; the library wants its own to be text.
    conf.substitutions.update({"arch": arch, "basearch": arch, "releasever": "0"})
    return base


def download(request: dict[str, Any]) -> dict[str, Any]:
    """Find the exact package in the first repository that has it, download it, check its signature."""
    try:
        import dnf
        import dnf.const
        import dnf.exceptions
        import dnf.repo
    except ImportError:
        return {"error": "", "kind": "library"}
    base = configured(dnf, Path.cwd(), request["arch"])
    addresses: dict[str, tuple[int, str]] = {}
    try:
        for number, address, place in indexes(request["repositories"]):
            repo = dnf.repo.Repo(f"guest-{number}", base.conf)
            repo.baseurl = [place.as_uri()]
            repo.gpgcheck = repo.repo_gpgcheck = False  # done below, with the guest's keys
            repo.skip_if_unavailable = True
            base.repos.add(repo)
            addresses[repo.id] = (number, address)
        base.fill_sack(load_system_repo=False, load_available_repos=True)
    except (dnf.exceptions.Error, FetchError, OSError) as error:
        return {"error": str(error)[:300], "kind": "offline"}
    if not list(base.repos.iter_enabled()):
        return {"error": "checksum: none of the indexes can be read", "kind": "offline"}
    found = base.sack.query().available().filter(name=request["name"], arch=request["arch"])
    exact = list(found.filter(evr=request["version"]))
    if not exact:
        return {"error": "", "kind": "superseded", "versions": sorted({p.evr for p in found})[:8]}
    number, address = addresses[exact[0].reponame]
    try:
        path = package(exact[0], address)
    except FetchError as error:
        return {"error": str(error)[:300], "kind": "offline"}
    signed = request["repositories"][number]["gpgcheck"]
    problem = signature_problem(path, request["keys"]) if signed else ""
    return {"error": problem, "kind": "signature"} if problem else {"path": path.name}


def package(found: Any, address: str) -> Path:
    """The package's file, its digest that of the index."""
    url = joined(address, found.location, found.baseurl)
    path = Path(f"{found.name}-{found.version}-{found.release}.{found.arch}.rpm").absolute()
    if path.parent != Path.cwd():
        raise FetchError("a package of an odd name: Not Found")
    kind, digest = found.returnIdSum()
    check(get(url, path, PACKAGE_BYTES), kind, digest)
    return path


def signature_problem(path: Path, keys: list[str]) -> str:
    """Why the package is not signed by one of the guest's keys; empty when it is."""
    if not keys:
        return "keys"
    database = Path("keys").absolute()
    database.mkdir(exist_ok=True)
    rpmkeys = ["rpmkeys", "--root", "/", "--dbpath", str(database), "--define", "_db_backend sqlite"]
    verify = ["--checksig", "--define", "_pkgverify_level signature", str(path)]
    try:
        subprocess.run([*rpmkeys, "--import", *keys], check=True, capture_output=True)
        done = subprocess.run([*rpmkeys, *verify], check=False, capture_output=True)
    except OSError:
        return "tool"
    except subprocess.CalledProcessError:
        return "import"
    return "" if done.returncode == 0 else "bad"


def main() -> int:
    """Answer the request on stdin; what libraries print goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer = download(json.load(sys.stdin))
    out.write(json.dumps(answer) + "\n")
    out.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
