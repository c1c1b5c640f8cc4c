"""Addresses of the web that a guest names, and that this host may be asked to contact.

Only plain ``http`` and ``https`` addresses pass: no ``file:``, no ``mirror+file:``, no
``ssh://-oProxyCommand=``, and no character that means something where the address is written next.

Source: RFC 3986, section 3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_ADDRESS_LENGTH = 2048
_ADDRESS = re.compile(
    r"(?P<scheme>https?)://"
    r"(?:[A-Za-z0-9._~%!$&'()*+,;=:-]*@)?"
    r"(?P<host>(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?)"
    r"(?P<path>/[A-Za-z0-9._~%!$&'()*+,;=:@/?-]*)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class WebAddress:
    """An address: ``url`` as it is asked for (a password may stand in it), ``host`` as it may be shown."""

    url: str = field(repr=False)
    host: str

    @property
    def encrypted(self) -> bool:
        """True for https."""
        return self.url.startswith("https:")


def web_address(text: str) -> WebAddress | None:
    """The address that the text is, its scheme in lower case; None when it is no http or https one."""
    found = _ADDRESS.fullmatch(text) if len(text) <= MAX_ADDRESS_LENGTH else None
    if found is None or not text.isascii():
        return None
    scheme = found["scheme"]
    return WebAddress(scheme.lower() + text[len(scheme) :], found["host"].lower())
