"""The form of single arguments: numbers, times, files, words of a fixed set, addresses."""

from __future__ import annotations

import re

from guestrepair.formats.sshd_config import numbers
from guestrepair.formats.sshd_config.line import BadLine, Check, Line
from guestrepair.formats.sshd_config.tokens import ARGV_SINCE

INT_OF_SSCANF = r"[ \t]*([+-]?\d{1,18})"
STARTUPS = re.compile(rf"{INT_OF_SSCANF}(?::{INT_OF_SSCANF})?(?::{INT_OF_SSCANF})?")
CASELESS_FLAGS_SINCE = (7, 7)
SLASH_REFUSED_SINCE = (7, 7)
CHOICES = {
    "family": "inet inet6 any",
    "rootlogin": "without-password prohibit-password forced-commands-only yes no",
    "ignorerhosts": "yes no shosts-only",
    "compression": "yes delayed no",
    "gatewayports": "clientspecified yes no",
    "forwarding": "yes all no remote local",
    "privsep": "yes sandbox nosandbox no",
}
CHOICE_SINCE = {
    ("rootlogin", "prohibit-password"): (7, 0),
    ("ignorerhosts", "shosts-only"): (8, 3),
    ("forwarding", "all"): (6, 2),
    ("forwarding", "remote"): (6, 2),
    ("forwarding", "local"): (6, 2),
}
FACILITIES = frozenset({"daemon", "user", "auth", "authpriv", *(f"local{n}" for n in range(8))})
LEVELS = frozenset({"quiet", "fatal", "error", "info", "verbose", "debug", "debug1", "debug2", "debug3"})
DIGESTS = frozenset({"md5", "sha1", "sha256", "sha384", "sha512", "ripemd160"})
TUNNELS = frozenset({"ethernet", "point-to-point", "yes", "no"})


def _port(line: Line) -> None:
    if line.state.ports >= 256:
        raise BadLine("too many ports.")
    line.state.ports += 1
    if numbers.port(line.required("port number")) <= 0:
        raise BadLine("Badly formatted port number.")


def _file(line: Line) -> None:
    line.required("file name")


def _string(line: Line) -> None:
    line.required()


def _any(line: Line) -> None:
    line.args.consume()


def _rest(line: Line) -> None:
    if not line.args.following():
        raise BadLine(f"{line.keyword} missing argument.")
    line.args.consume()


def _version(line: Line) -> None:
    if "\r" in (line.args.following() or ""):
        raise BadLine(f"Invalid {line.keyword} argument")
    _rest(line)


def _command(line: Line) -> None:
    text = (line.args.following() or "").lstrip(" \t\r\n")
    applies = line.active or line.release >= ARGV_SINCE
    if applies and not text.startswith("/") and text.lower() != "none":
        raise BadLine(f"{line.keyword} must be an absolute path")
    line.args.consume()


def _flag(line: Line) -> None:
    value = line.required("yes/no argument")
    plain = value.lower() if line.release >= CASELESS_FLAGS_SINCE else value
    if plain not in ("yes", "no"):
        raise BadLine(f'unsupported option "{value}".')


def _user_environment(line: Line) -> None:
    if line.release < (7, 8):
        _flag(line)
    else:
        line.required()


def choices(kind: str, release: tuple[int, int]) -> tuple[str, ...]:
    """The words that an argument of this kind may be; () where it is no matter of words."""
    if kind == "flag":
        return ("yes", "no")
    if kind in CHOICES:
        words = CHOICES[kind].split()
        return tuple(w for w in words if release >= CHOICE_SINCE.get((kind, w), (0, 0)))
    sets = {"facility": FACILITIES, "level": LEVELS, "digest": DIGESTS, "tunnel": TUNNELS}
    return tuple(sorted(sets.get(kind, ())))


def _choice(kind: str) -> Check:
    """A check for one of the words of a kind, whatever their case."""
    words = CHOICES[kind].split()

    def check(line: Line) -> None:
        value = line.required()
        plain = value.lower()
        known = plain in words and line.release >= CHOICE_SINCE.get((kind, plain), (0, 0))
        if not known:
            raise BadLine(f'unsupported option "{value}".')

    return check


def _int(line: Line) -> None:
    value = line.required("integer value")
    if line.release >= CASELESS_FLAGS_SINCE and numbers.strtonum(value, 0, numbers.INT_MAX) is None:
        raise BadLine(f"{line.keyword} integer value invalid or out of range.")


def _time(line: Line) -> None:
    if numbers.seconds(line.required("time value")) is None:
        raise BadLine("invalid time value.")


def _timeout(line: Line) -> None:
    if (line.args.peek() or "").lower() == "none":
        line.args.next()
    else:
        _time(line)


def _startups(line: Line) -> None:
    found = STARTUPS.match(line.required())
    values = [int(v) for v in found.groups() if v is not None] if found else []
    if len(values) == 3:
        begin, rate, full = values
        good = begin <= full and 1 <= rate <= 100 and begin > 0
    else:
        good = len(values) == 1 and (values[0] > 0 or line.release < (8, 5))
    if not good:
        raise BadLine(f"Invalid {line.keyword} spec.")


def _source_startups(line: Line) -> None:
    value = line.required()
    if value != "none" and numbers.strtonum(value, 0, numbers.INT_MAX) is None:
        raise BadLine(f"{line.keyword} integer value invalid.")


def _netblock(line: Line) -> None:
    found = re.match(rf"{INT_OF_SSCANF}(?::{INT_OF_SSCANF})?", line.required())
    if not found or not 0 <= int(found[1]) <= 32 or not 0 <= int(found[2] or 0) <= 128:
        raise BadLine(f"Invalid {line.keyword} spec.")


def _address_list(line: Line) -> None:
    if not numbers.address_list_is_valid(line.required()):
        raise BadLine(f"keyword {line.keyword} invalid address argument.")


def _listen(line: Line) -> None:
    value = line.required("address")
    if not ("[" not in value and value.count(":") >= 2):
        cut = numbers.host_and_port(value, slash=line.release < SLASH_REFUSED_SINCE)
        if cut is None:
            raise BadLine("bad address:port usage")
        if cut[1] is not None and numbers.port(cut[1]) <= 0:
            raise BadLine("bad port number")
    if line.release >= (7, 7):
        word = line.args.next()
        if word and (word != "rdomain" or not line.args.next()):
            raise BadLine("bad ListenAddress syntax")


def _facility(line: Line) -> None:
    value = line.args.next() or ""
    if value.lower() not in FACILITIES:
        raise BadLine(f"unsupported log facility '{value or '<NONE>'}'")


def _level(line: Line) -> None:
    value = line.args.next() or ""
    if value.lower() not in LEVELS:
        raise BadLine(f"unsupported log level '{value or '<NONE>'}'")


def _rekey(line: Line) -> None:
    value = line.required()
    if value != "default":
        size = numbers.scaled(value)
        if size is None:
            raise BadLine(f"Bad {line.keyword} number '{value}': Invalid argument")
        if size != 0 and size < 16:
            raise BadLine(f"{line.keyword} too small")
    if line.args.has_more():
        if line.args.peek() == "none":
            line.args.next()
        else:
            _time(line)


def _tunnel(line: Line) -> None:
    value = line.required()
    if value not in TUNNELS:
        raise BadLine(f"bad {line.keyword} argument {value}")


def _mask(line: Line) -> None:
    value = line.required()
    found = re.match(r"[ \t]*([+-]?)([0-7]{1,20})", value)
    if found is None or int(found[2], 8) > 0o777 or (found[1] == "-" and int(found[2], 8)):
        raise BadLine(f"Invalid {line.keyword}.")


def _digest(line: Line) -> None:
    value = line.required()
    if value.lower() not in DIGESTS or (value.lower() == "ripemd160" and line.release >= (7, 6)):
        raise BadLine(f'Invalid {line.keyword} algorithm "{value}".')


def _rdomain(line: Line) -> None:
    raise BadLine("setting RDomain not supported on this platform.")


def _protocol(line: Line) -> None:
    value = line.required()
    if not {"1", "2"} & set(value.split(",")):
        raise BadLine("Bad protocol spec '" + value + "'.")


SCALAR_CHECKS: dict[str, Check] = {
    **{kind: _choice(kind) for kind in CHOICES},
    "port": _port, "file": _file, "string": _string, "any": _any, "rest": _rest, "version": _version,
    "command": _command, "flag": _flag, "int": _int, "userenvironment": _user_environment, "time": _time,
    "timeout": _timeout, "startups": _startups, "sourcestartups": _source_startups, "netblock": _netblock,
    "addresslist": _address_list, "listen": _listen, "facility": _facility, "level": _level,
    "rekey": _rekey, "tunnel": _tunnel, "mask": _mask, "digest": _digest, "rdomain": _rdomain,
    "protocol": _protocol,
}  # fmt: skip
