"""SPDX: what is in the document. tests/oracle/test_spdx.py asks SPDX's own validator."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from guestrepair.errors import UsageError
from guestrepair.inventory.model import Change, Inventory
from guestrepair.report.data import ImageReport, Inspection
from guestrepair.report.spdx import render
from tests.unit.report.test_cyclonedx import DEBIAN, changed, image, package


@pytest.fixture(autouse=True)
def at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def written(report: ImageReport) -> dict[str, Any]:
    text = render(Inspection(report))
    assert text.isascii()
    document: dict[str, Any] = json.loads(text)
    return document


def test_the_system_contains_its_packages() -> None:
    rows = (package("g++", "4:12.2", "amd64", source="gcc (1)", license="GPLv2+"), package("b", ""))
    document = written(image(*rows))
    system, first, second = document["packages"]
    assert (system["SPDXID"], system["name"], system["versionInfo"]) == ("SPDXRef-System", "debian", "12")
    assert system["primaryPackagePurpose"] == "OPERATING-SYSTEM"
    (reference,) = first["externalRefs"]
    assert reference["referenceLocator"].startswith("pkg:deb/debian/g%2B%2B@4:12.2?arch=amd64")
    assert first["licenseDeclared"] == "NOASSERTION"  # the words of a package are no expression of SPDX
    assert first["licenseComments"].endswith("GPLv2+")
    assert (first["sourceInfo"], first["comment"]) == ("built from gcc (1)", "architecture: amd64")
    assert "versionInfo" not in second
    found = [tuple(each.values()) for each in document["relationships"]]
    assert found == [
        ("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-System"),
        ("SPDXRef-System", "CONTAINS", "SPDXRef-Package-1"),
        ("SPDXRef-System", "CONTAINS", "SPDXRef-Package-2"),
    ]
    assert "comment" not in document


def test_what_was_modified_stands_at_its_package_alone() -> None:
    files = (
        changed("/bin/a"),
        changed("/bin/a", Change.OWNER, "x:y"),
        *map(changed, map("/f{}".format, range(30))),
    )
    document = written(image(package("a", "1"), package("b", "1"), files=files))
    _, first, second = document["packages"]
    assert "files that were modified: /bin/a, /f0, " in first["comment"]
    assert first["comment"].endswith("/f18 and 11 more")
    assert "modified" not in second["comment"]


@pytest.mark.parametrize(
    "report",
    [
        image(package("a", "1"), inconclusive=("packages: /var/lib/dpkg/status is damaged",)),
        ImageReport(path="/x", os=DEBIAN, inventory=Inventory()),
        ImageReport(path="/x"),
    ],
)
def test_a_list_that_may_not_be_whole_says_so(report: ImageReport) -> None:
    document = written(report)
    assert document["comment"].startswith("It may not be whole: ")
    assert document["relationships"][-1]["relatedSpdxElement"] == "NOASSERTION"


def test_time_and_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    one, same, other = (written(image(package("a", version))) for version in ("1", "1", "2"))
    assert one == same
    assert one["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    assert one["documentNamespace"] != other["documentNamespace"]
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    now = written(image(package("a", "1")))
    assert now["documentNamespace"] == one["documentNamespace"]
    written_at = dt.datetime.fromisoformat(now["creationInfo"]["created"])
    assert abs(dt.datetime.now(tz=dt.UTC) - written_at) < dt.timedelta(minutes=5)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "soon")
    with pytest.raises(UsageError):
        written(image())
