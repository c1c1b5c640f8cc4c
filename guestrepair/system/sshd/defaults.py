"""What sshd takes for settings that no line gives: those that decide about logins.

Source: servconf.c, fill_default_server_options(); sshd_config(5).
"""

from __future__ import annotations

from collections.abc import Mapping

from guestrepair.system.sshd.server import Release

ROOT_PASSWORD_FORBIDDEN_SINCE: Release = (7, 0)
"""The release before which root may log in by password unless told otherwise."""

_OF_ALL_RELEASES: Mapping[str, str] = {
    "clientaliveinterval": "0",
    "kbdinteractiveauthentication": "yes",
    "passwordauthentication": "yes",
    "permitemptypasswords": "no",
    "pubkeyauthentication": "yes",
    "usepam": "no",
    "x11forwarding": "no",
}


def default_of(name: str, release: Release) -> str:
    """The default of one of these settings; ``name`` in small letters."""
    if name == "permitrootlogin":
        return "yes" if release < ROOT_PASSWORD_FORBIDDEN_SINCE else "prohibit-password"
    return _OF_ALL_RELEASES[name]
