"""CycloneDX, judged by the official schema and by other people's readers, hostile texts among it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from guestrepair.guest.devices import OperatingSystem
from guestrepair.inventory.model import Change, ModifiedFile
from guestrepair.report.bom.purl import purl
from guestrepair.report.cyclonedx import render
from guestrepair.report.data import ImageReport, Inspection
from guestrepair.report.escape import valid_unicode
from tests.unit.report.test_cyclonedx import ALPINE, ARCH, DEBIAN, ROCKY, changed, image, package
from tests.unit.report.test_escaping import TEXT

pytest.importorskip("cyclonedx", reason="cyclonedx-python-lib is missing")


def judged(text: str) -> dict[str, Any]:
    """The document, once the strict schema and the reader have taken it."""
    from cyclonedx.model.bom import Bom
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document: dict[str, Any] = json.loads(text)
    read = Bom.from_json(document)  # type: ignore[attr-defined]
    # Its reader takes line ends for blanks, as XML has it.
    assert len(read.components) == len(document["components"])
    return document


def test_a_document_with_everything_in_it_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    files = (changed("/bin/a"), changed("/bin/b", Change.MODE, "0777"))
    rows = (package("a", "1", license="GPLv2+", source="a (2)", digest="sha256:00"), *[package("b", "")] * 2)
    report = image(*rows, files=files, inconclusive=("packages: some of it",))
    assert judged(render(Inspection(report)))["compositions"][0]["aggregate"] == "incomplete"
    judged(render(Inspection(ImageReport(path="/x"))))


@pytest.mark.parametrize("system", [DEBIAN, ROCKY, ALPINE, ARCH], ids=lambda s: s.distro)
@given(name=TEXT, version=TEXT, architecture=TEXT)
@settings(max_examples=60)
def test_a_package_url_comes_back_as_it_was(
    system: OperatingSystem, name: str, version: str, architecture: str
) -> None:
    from packageurl import PackageURL

    url = purl(package(name, version.replace(":", ""), architecture), system)
    if not url:
        return
    read = PackageURL.from_string(url)
    expected = valid_unicode(name.strip().strip("/"))
    assert read.name == (expected if system is ROCKY else expected.lower()).strip("/")
    assert (read.version or "").strip() == valid_unicode(version.replace(":", "")).strip()
    assert isinstance(read.qualifiers, dict)
    assert set(read.qualifiers) <= {"arch", "distro"}


@given(TEXT)
@settings(max_examples=12, deadline=None)
def test_hostile_names_are_escaped_and_valid(text: str) -> None:
    files = tuple(
        ModifiedFile(
            path=f"/{text}",
            package=text,
            version=text,
            architecture=text,
            what=what,
            recorded=text,
            observed=text,
        )
        for what in Change
    )
    system = OperatingSystem(text, text, text, text, "deb", text)
    report = image(package(text, text, text, license=text, source=text, digest=text, state=text),
                   of=system, files=files, inconclusive=(f"packages: {text}",))  # fmt: skip
    document = judged(render(Inspection(report)))
    assert document["components"][0]["name"] == valid_unicode(text)
