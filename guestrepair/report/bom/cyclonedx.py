"""The packages of a system as a CycloneDX 1.6 document; the same content gives the same bytes.

Source: the CycloneDX 1.6 JSON schema.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from guestrepair import __version__
from guestrepair.guest.devices import OperatingSystem
from guestrepair.inventory.model import InstalledPackage, Inventory, ModifiedFile
from guestrepair.report.bom.common import asked_time, identity, incomplete, system_name
from guestrepair.report.bom.purl import purl
from guestrepair.report.data import ImageReport

Json = dict[str, Any]
_HASHES = {"md5": "MD5", "sha1": "SHA-1", "sha256": "SHA-256", "sha384": "SHA-384", "sha512": "SHA-512"}
_Owner = tuple[str, str, str]


def document(image: ImageReport) -> Json:
    """The document. Its serial number comes from the content, its time from SOURCE_DATE_EPOCH (else none).

    Where the list may not be whole, its composition says ``incomplete`` (``unknown`` where nothing of it
    could be read), and the properties why.

    Raises:
        UsageError: SOURCE_DATE_EPOCH is no time.
    """
    inventory = image.inventory or Inventory()
    system = image.os or OperatingSystem()
    subject = _subject(image, system)
    packages = inventory.packages
    components = list(_components(packages or (), inventory, system, {subject["bom-ref"]}))
    reasons = incomplete(image)
    metadata: Json = {
        "tools": {"components": [{"type": "application", "name": "guestrepair", "version": __version__}]},
        "component": subject,
    }
    notes = [*_digests(inventory), *(_property("inconclusive", reason) for reason in reasons)]
    if notes:
        metadata["properties"] = notes
    whole = "unknown" if packages is None else "incomplete" if reasons else "complete"
    content: Json = {
        "metadata": metadata,
        "components": components,
        "dependencies": [{"ref": subject["bom-ref"], "dependsOn": [c["bom-ref"] for c in components]}],
        "compositions": [{"aggregate": whole, "assemblies": [subject["bom-ref"]]}],
    }
    serial = identity(json.dumps(content, sort_keys=True))
    time = asked_time()
    if time:
        content["metadata"] = {"timestamp": time, **metadata}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        **content,
    }


def _subject(image: ImageReport, system: OperatingSystem) -> Json:
    told = {"architecture": system.arch, "hostname": system.hostname, "id_like": " ".join(system.id_like)}
    return {
        "type": "operating-system",
        "bom-ref": "system",
        "name": system_name(image),
        **({"version": system.version} if system.version else {}),
        **({"description": system.product} if system.product else {}),
        **_properties(told.items()),
    }


def _components(
    packages: Iterable[InstalledPackage], inventory: Inventory, system: OperatingSystem, taken: set[str]
) -> Iterator[Json]:
    changed: dict[_Owner, list[ModifiedFile]] = defaultdict(list)
    for file in () if inventory.modified is None else inventory.modified.files:
        changed[file.package, file.version, file.architecture].append(file)
    for package in packages:
        files = changed.get((package.name, package.version, package.architecture), [])
        yield _component(package, files, system, taken)


def _component(
    package: InstalledPackage, files: list[ModifiedFile], system: OperatingSystem, taken: set[str]
) -> Json:
    url = purl(package, system)
    reference = _unique(url or f"package:{package.name}@{package.version}", taken)
    by_path: dict[str, list[ModifiedFile]] = defaultdict(list)
    for file in files:
        by_path[file.path].append(file)
    told = {
        "architecture": package.architecture,
        "source": package.source,
        "digest": package.digest,
        "state": "" if package.state == "installed" else package.state,
        "modified-files": str(len(by_path) or ""),
    }
    return {
        "type": "library",
        "bom-ref": reference,
        "name": package.name,
        "version": package.version,
        **({"licenses": [{"license": {"name": package.license}}]} if package.license else {}),
        **({"purl": url} if url else {}),
        **_properties(told.items()),
        **({"components": [_file(same, reference, taken) for same in by_path.values()]} if files else {}),
    }


def _file(changes: list[ModifiedFile], package: str, taken: set[str]) -> Json:
    """One file with all that differs, and the digest of what it holds now, where that is known."""
    first = changes[0]
    digests = [c.observed.partition(":") for c in changes if c.what == "content"]
    hashes = [{"alg": _HASHES[kind], "content": found} for kind, _, found in digests if kind in _HASHES]
    told = [
        ("modified", " ".join(c.what.value for c in changes)),
        ("configuration", "true" if first.is_config else ""),
        *((f"recorded-{c.what.value}", c.recorded) for c in changes),
        *((f"observed-{c.what.value}", c.observed) for c in changes),
    ]
    return {
        "type": "file",
        "bom-ref": _unique(f"{package}#{first.path}", taken),
        "name": first.path,
        **({"hashes": hashes} if hashes else {}),
        **_properties(told),
    }


def _digests(inventory: Inventory) -> Iterator[Json]:
    if inventory.modified is not None:
        yield _property("digests", inventory.modified.digests)
        yield _property("files-compared", str(inventory.modified.compared))


def _properties(pairs: Iterable[tuple[str, str]]) -> Json:
    found = [_property(name, value) for name, value in pairs if value]
    return {"properties": found} if found else {}


def _property(name: str, value: str) -> Json:
    return {"name": f"guestrepair:{name}", "value": value}


def _unique(reference: str, taken: set[str]) -> str:
    """The reference, with a number behind it where another component has it."""
    wanted, number = reference, 2
    while wanted in taken:
        wanted, number = f"{reference}#{number}", number + 1
    taken.add(wanted)
    return wanted
