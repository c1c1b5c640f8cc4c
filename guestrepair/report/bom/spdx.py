"""The packages of a system as an SPDX 2.3 document, in its JSON form.

What SPDX has no place for that could be filled truly stands in comments: licences, which distributions write
in words of their own; files that were modified, for which it wants a SHA-1 that nobody has worked out.

Source: the SPDX specification 2.3, clauses 6 (document), 7 (packages), 11 (relationships) and annex F.
"""

from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from guestrepair import __version__
from guestrepair.guest.devices import OperatingSystem
from guestrepair.inventory.model import InstalledPackage, Inventory
from guestrepair.report.bom.common import asked_time, identity, incomplete, system_name
from guestrepair.report.bom.purl import purl
from guestrepair.report.data import ImageReport

Json = dict[str, Any]
_Owner = tuple[str, str, str]
_DOCUMENT, _SYSTEM = "SPDXRef-DOCUMENT", "SPDXRef-System"
_UNKNOWN = "NOASSERTION"
_SHOWN_FILES = 20
"""Modified files that a package's comment names; all of them are counted."""


def document(image: ImageReport) -> Json:
    """The document. Its namespace comes from the content, its time from SOURCE_DATE_EPOCH, else it is now.

    Where the list may not be whole, the document's comment says why, and that the system contains more is
    not ruled out (a relationship to NOASSERTION).

    Raises:
        UsageError: SOURCE_DATE_EPOCH is no time.
    """
    inventory = image.inventory or Inventory()
    system = image.os or OperatingSystem()
    packages = [_system(image, system), *_packages(inventory, system)]
    reasons = incomplete(image)
    if inventory.packages is None:
        reasons = reasons or ["the packages are not known"]
    content: Json = {
        "packages": packages,
        "relationships": list(_relationships([p["SPDXID"] for p in packages[1:]], whole=not reasons)),
        **({"comment": f"It may not be whole: {'; '.join(reasons)}"} if reasons else {}),
    }
    number = identity(json.dumps(content, sort_keys=True))
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": _DOCUMENT,
        "name": packages[0]["name"],
        "documentNamespace": f"urn:uuid:{number}",
        "creationInfo": {"created": asked_time() or _now(), "creators": [f"Tool: guestrepair-{__version__}"]},
        **content,
    }


def _now() -> str:
    return dt.datetime.now(tz=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _system(image: ImageReport, system: OperatingSystem) -> Json:
    return {
        **_element(_SYSTEM, system_name(image), system.version),
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        **({"summary": system.product} if system.product else {}),
    }


def _packages(inventory: Inventory, system: OperatingSystem) -> Iterator[Json]:
    changed: dict[_Owner, dict[str, None]] = defaultdict(dict)
    for file in () if inventory.modified is None else inventory.modified.files:
        changed[file.package, file.version, file.architecture][file.path] = None
    for number, package in enumerate(inventory.packages or (), 1):
        url = purl(package, system)
        files = [*changed.get((package.name, package.version, package.architecture), {})]
        comment = "; ".join(_told(package, files))
        yield {
            **_element(f"SPDXRef-Package-{number}", package.name, package.version),
            **({"externalRefs": [_reference(url)]} if url else {}),
            **({"sourceInfo": f"built from {package.source}"} if package.source else {}),
            **({"licenseComments": f"by the package database: {package.license}"} if package.license else {}),
            **({"comment": comment} if comment else {}),
        }


def _element(identifier: str, name: str, version: str) -> Json:
    return {
        "SPDXID": identifier,
        "name": name or "unknown",
        **({"versionInfo": version} if version else {}),
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": _UNKNOWN,
        "licenseDeclared": _UNKNOWN,
        "copyrightText": _UNKNOWN,
    }


def _reference(url: str) -> Mapping[str, str]:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}


def _told(package: InstalledPackage, files: Sequence[str]) -> Iterator[str]:
    if package.architecture:
        yield f"architecture: {package.architecture}"
    if package.state != "installed":
        yield f"state: {package.state}"
    if package.digest:
        yield f"digest by the package database: {package.digest}"
    if files:
        more = f" and {len(files) - _SHOWN_FILES} more" if len(files) > _SHOWN_FILES else ""
        yield f"files that were modified: {', '.join(files[:_SHOWN_FILES])}{more}"


def _relationships(packages: Sequence[str], *, whole: bool) -> Iterator[Mapping[str, str]]:
    yield _relationship(_DOCUMENT, "DESCRIBES", _SYSTEM)
    for package in packages:
        yield _relationship(_SYSTEM, "CONTAINS", package)
    if not whole:
        yield _relationship(_SYSTEM, "CONTAINS", _UNKNOWN)


def _relationship(one: str, kind: str, other: str) -> Mapping[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
