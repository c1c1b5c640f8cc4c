"""CycloneDX: what is in the document. tests/oracle/test_cyclonedx.py asks its schema and other readers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guestrepair.errors import UsageError
from guestrepair.guest.devices import OperatingSystem
from guestrepair.inventory.model import Change, InstalledPackage, Inventory, Modified, ModifiedFile
from guestrepair.model import Inconclusive
from guestrepair.report.bom.purl import purl
from guestrepair.report.cyclonedx import render
from guestrepair.report.data import ImageReport, Inspection

DEBIAN = OperatingSystem("debian", "12", "Debian GNU/Linux 12", "x86_64", "deb", "host")
ROCKY = OperatingSystem("rocky", "9.4", "Rocky Linux 9.4", "x86_64", "rpm", "host")
ALPINE = OperatingSystem("alpine", "3.20.1", "Alpine", "x86_64", "apk", "host")
ARCH = OperatingSystem("arch", "", "Arch Linux", "x86_64", "pacman", "host")
MD5 = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.fixture(autouse=True)
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def package(name: str, version: str, architecture: str = "x86_64", **more: str) -> InstalledPackage:
    return InstalledPackage(name=name, version=version, architecture=architecture, **more)


def changed(path: str, what: Change = Change.CONTENT, observed: str = f"md5:{MD5}") -> ModifiedFile:
    return ModifiedFile(
        path=path, package="a", version="1", architecture="x86_64", what=what, recorded="r", observed=observed
    )


def image(*packages: InstalledPackage, of: OperatingSystem = DEBIAN, files: tuple[ModifiedFile, ...] = (),
          inconclusive: tuple[str, ...] = ()) -> ImageReport:  # fmt: skip
    inventory = Inventory(
        packages=packages, modified=Modified(digests="all", seen=1, compared=1, files=files)
    )
    lost = [Inconclusive("inventory", reason) for reason in inconclusive]
    return ImageReport(path="/x", os=of, inventory=inventory, inconclusive=lost)


def written(report: ImageReport) -> dict[str, Any]:
    """The document."""
    text = render(Inspection(report))
    assert text.isascii()
    document: dict[str, Any] = json.loads(text)
    return document


@pytest.mark.parametrize(
    ("system", "given_package", "expected"),
    [
        (DEBIAN, package("g++", "4:12.2~rc1+b1", "amd64", source="gcc-defaults (1.203)"),
         "pkg:deb/debian/g%2B%2B@4:12.2~rc1%2Bb1?arch=amd64&distro=debian-12&upstream=gcc-defaults%401.203"),
        (ROCKY, package("openssl", "1:3.0.7-27.el9", source="openssl.src.rpm"),
         "pkg:rpm/rocky/openssl@3.0.7-27.el9?arch=x86_64&distro=rocky-9.4&epoch=1&upstream=openssl.src.rpm"),
        (ALPINE, package("busybox", "1.36.1-r5", source="busybox"),
         "pkg:apk/alpine/busybox@1.36.1-r5?arch=x86_64&distro=alpine-3.20.1&upstream=busybox"),
        (ARCH, package("linux", "6.9.arch1-1"), "pkg:alpm/arch/linux@6.9.arch1-1?arch=x86_64&distro=arch"),
        (DEBIAN, package(" ", "1"), ""),
        (OperatingSystem("plan9"), package("a", "1"), ""),
    ],
)  # fmt: skip
def test_package_urls(system: OperatingSystem, given_package: InstalledPackage, expected: str) -> None:
    assert purl(given_package, system) == expected


def test_a_modified_file_is_a_component_of_its_package_with_the_hash_of_what_is_there() -> None:
    files = (
        changed("/bin/a"),
        changed("/bin/b", Change.MODE, "0777"),
        changed("/bin/a", Change.OWNER, "x:y"),
    )
    document = written(image(package("a", "1", license="GPLv2+"), package("b", "1"), files=files))
    first, second = document["components"]
    assert first["licenses"] == [{"license": {"name": "GPLv2+"}}]
    assert "licenses" not in second
    assert "components" not in second
    inside = {c["name"]: c for c in first["components"]}
    assert inside["/bin/a"]["hashes"] == [{"alg": "MD5", "content": MD5}]
    assert "hashes" not in inside["/bin/b"]
    assert {"name": "guestrepair:modified", "value": "content owner"} in inside["/bin/a"]["properties"]
    assert {"name": "guestrepair:modified-files", "value": "2"} in first["properties"]
    assert document["compositions"][0]["aggregate"] == "complete"


@pytest.mark.parametrize(
    ("report", "aggregate"),
    [
        (image(package("a", "1"), inconclusive=("packages: /var/lib/dpkg/status is damaged",)), "incomplete"),
        (image(package("a", "1"), inconclusive=("network: unreadable",)), "complete"),
        (ImageReport(path="/x", os=DEBIAN, inventory=Inventory(),
                     inconclusive=[Inconclusive("inventory", "packages: gone")]), "unknown"),
        (ImageReport(path="/x"), "unknown"),
    ],
)  # fmt: skip
def test_a_list_that_may_not_be_whole_says_so(report: ImageReport, aggregate: str) -> None:
    document = written(report)
    assert document["compositions"][0]["aggregate"] == aggregate
    told = [p["value"] for p in document["metadata"].get("properties", ()) if "inconclusive" in p["name"]]
    assert told == [i.reason for i in report.inconclusive if i.reason.startswith("packages")]


def test_the_same_content_gives_the_same_bytes_and_another_gives_another_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, same, other = (written(image(package("a", version))) for version in ("1", "1", "2"))
    assert one == same
    assert "timestamp" not in one["metadata"]
    assert one["serialNumber"] != other["serialNumber"]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    timed = written(image(package("a", "1")))
    assert timed["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    assert timed["serialNumber"] == one["serialNumber"]


@pytest.mark.parametrize("text", ["yesterday", "-1", "1e9", "9" * 15, "٣"])
def test_a_time_that_is_none_is_wrong_usage(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        render(Inspection(image(package("a", "1"))))


def test_packages_that_are_called_alike_keep_their_own_references() -> None:
    document = written(image(*[package("gpg-pubkey", "1-1", "")] * 3, of=ROCKY))
    references = [c["bom-ref"] for c in document["components"]]
    assert len(set(references)) == len(references) == 3
