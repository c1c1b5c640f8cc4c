"""firewalld's XML: zones, services and policies as elements.

Source: firewalld.zone(5), firewalld.service(5), firewalld.policies(5).
"""

from __future__ import annotations

from guestrepair.formats.xml_elements import Element, parse_xml

__all__ = ["Element", "parse_firewalld"]


def parse_firewalld(data: bytes) -> Element:
    """The root element of a file.

    Raises:
        FormatError: it is not well formed, declares entities, or is larger than any real one.
    """
    return parse_xml(data)
