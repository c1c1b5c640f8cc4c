"""The form of lists of arguments: accounts, algorithms, environment, forwardings, methods."""

from __future__ import annotations

import itertools
import re

from guestrepair.formats.sshd_config import algorithms, numbers
from guestrepair.formats.sshd_config.line import BadLine, Check, Line

STRICT_LISTS_SINCE = (9, 7)
"""Before, a list keyword without any argument passed (where only a comment followed it)."""

METHODS = frozenset(
    {"none", "publickey", "gssapi-with-mic", "gssapi-keyex", "password", "keyboard-interactive", "hostbased"}
)
QOS_CLASSES = frozenset(f"{kind}{n}{m}" for kind in ("af",) for n in range(1, 5) for m in range(1, 4))
QOS = (
    QOS_CLASSES
    | frozenset(f"cs{n}" for n in range(8))
    | frozenset({"none", "ef", "le", "lowdelay", "throughput", "reliability"})
)
PENALTIES = frozenset(
    {"crash", "authfail", "noauth", "grace-exceeded", "refuseconnection", "invaliduser", "max", "min"}
)
PENALTY_OVERFLOWS = frozenset(
    {"overflow:deny-all", "overflow:permissive", "overflow6:deny-all", "overflow6:permissive"}
)
PENALTY_COUNTS = frozenset({"max-sources4", "max-sources6"})


def _timeouts(line: Line) -> None:
    words = line.args.all_left()
    for word in words:
        if word.lower() == "none":
            if len(words) > 1:
                raise BadLine(f'keyword {line.keyword} "none" argument must appear alone.', fatal=False)
            continue
        name, equals, interval = word.partition("=")
        if not name or not equals or numbers.seconds(interval) is None:
            raise BadLine(f"invalid channel timeout {word}")
    _strict_list(line, words)


def _penalties(line: Line) -> None:
    words = line.args.all_left()
    for word in words:
        if word.lower() in ("no", "yes"):
            if word is not words[-1]:
                raise BadLine(f'keyword {line.keyword} "{word}" argument must appear alone.')
            continue
        name, colon, value = word.partition(":")
        if word in PENALTY_OVERFLOWS:
            continue
        if not colon or name not in PENALTIES | PENALTY_COUNTS:
            raise BadLine(f"unsupported {line.keyword} keyword {word}")
        if name in PENALTY_COUNTS:
            if numbers.strtonum(value, 0, numbers.INT_MAX) is None:
                raise BadLine(f"{line.keyword} value invalid.")
        elif numbers.seconds(value) is None:
            raise BadLine(f"invalid {line.keyword} time value.")
    _strict_list(line, words)


def _log_verbose(line: Line) -> None:
    words = line.args.all_left()
    for index, word in enumerate(words):
        if not word:
            raise BadLine(f"keyword {line.keyword} empty argument", fatal=False)
        if word.lower() == "none" and (index > 0 or len(words) > 1):
            raise BadLine(f'keyword {line.keyword} "none" argument must appear alone.', fatal=False)
    _strict_list(line, words)


def _users(line: Line) -> None:
    words = line.args.all_left()
    for word in words:
        _, at, host = word.partition("@")
        if not word or (at and not numbers.address_list_is_valid(host)):
            raise BadLine(f'invalid {line.keyword} pattern: "{word}"')
    _strict_list(line, words)


def _groups(line: Line) -> None:
    words = line.args.all_left()
    if any(not word for word in words):
        raise BadLine(f"empty {line.keyword} pattern")
    _strict_list(line, words)


def _words(line: Line) -> None:
    words = line.args.all_left()
    if any(not word for word in words):
        raise BadLine(f"keyword {line.keyword} empty argument", fatal=False)
    _strict_list(line, words)


def _accept_env(line: Line) -> None:
    words = line.args.all_left()
    if any(not word or "=" in word for word in words):
        raise BadLine("Invalid environment name.")
    _strict_list(line, words)


def _set_env(line: Line) -> None:
    if not line.args.is_argv:
        line.args.consume()  # its own tokenizer there (strdelimw); only the gross form is judged
        return
    words = line.args.all_left()
    if any("=" not in word for word in words):
        raise BadLine("Invalid environment.")
    _strict_list(line, words)


def _permit_open(line: Line) -> None:
    words = line.args.all_left()
    if not words or not words[0]:
        raise BadLine(f"{line.keyword} missing argument.")
    if words[0] in ("any", "none"):
        if len(words) > 1:
            raise BadLine(f"keyword {line.keyword} extra arguments at end of line", fatal=False)
        return
    for word in words:
        if not word:
            raise BadLine(f"keyword {line.keyword} extra arguments at end of line", fatal=False)
        bare = line.keyword.lower() == "permitlisten" and ":" not in word
        cut = ("*", word) if bare else numbers.host_and_port(word, slash=line.release < (7, 7))
        if cut is None:
            raise BadLine(f"{line.keyword} missing host")
        if cut[1] is None or (cut[1] != "*" and numbers.port(cut[1]) <= 0):
            raise BadLine(f"{line.keyword} bad port number")


def _methods(line: Line) -> None:
    seen_any = False
    words = line.args.all_left()
    taken = 0
    for word in words:
        already = taken if line.release >= (9, 8) else taken + line.state.has_methods
        if word == "any":
            if already:
                raise BadLine(f'"any" must appear alone in {line.keyword}')
            seen_any = True
        elif seen_any:
            raise BadLine(f'"any" must appear alone in {line.keyword}')
        elif any(method.partition(":")[0] not in METHODS for method in word.split(",")):
            raise BadLine(f"invalid {line.keyword} method list.")
        taken += line.active and not line.state.has_methods
    if not words:
        raise BadLine(f"no {line.keyword} specified")
    if line.active:
        line.state.has_methods = True


def _key_options(line: Line) -> None:
    for word in line.args.all_left():
        if word.lower() not in ("none", "touch-required", "verify-required"):
            raise BadLine(f"unsupported {line.keyword} option {word}", fatal=False)


def _subsystem(line: Line) -> None:
    name = line.required()
    tolerant = line.release >= (9, 5)
    if not line.active:
        if tolerant:
            line.args.consume()
        else:
            line.args.next()
        return
    if name in line.state.subsystems:
        if not tolerant:
            raise BadLine(f"Subsystem '{name}' already defined.")
        line.args.consume()
        return
    line.state.subsystems.add(name)
    if not line.args.next():
        raise BadLine("Missing subsystem command.")
    line.args.consume()


def _names_of(table: dict[str, algorithms.Range], what: str) -> Check:
    """A check for a comma list of algorithms."""

    def check(line: Line) -> None:
        value = line.required()
        if value.startswith("-") and line.release >= (7, 5):
            return
        if value[0] == "^" and line.release < (8, 1):
            raise BadLine(f"Bad SSH2 {what} '{value}'.")
        listed = value[1:] if value[0] in "+^" else value
        bad = algorithms.bad_name(listed, table, line.release, line.state.known_words)
        if bad is not None:
            raise BadLine(f"Bad SSH2 {what} '{value}' (unknown: '{bad}').")

    return check


def _gss_kex(line: Line) -> None:
    value = line.required()
    patched = {word for word in line.state.known_words if word.startswith("gss-")}
    words = algorithms.GSS_KEX_PREFIXES | patched
    named = itertools.takewhile(bool, value.split(","))  # sshd stops at an empty name
    bad = next((name for name in named if name not in words), None)
    if bad is not None:
        raise BadLine(f"Bad GSSAPI KexAlgorithms '{value}'.")


def _key_types(line: Line) -> None:
    value = line.required()
    if value.startswith("-") and line.release >= (7, 5):
        return
    listed = value[1:] if value[0] in "+^" else value
    bad = algorithms.bad_key_type(listed, line.release, line.state.known_words)
    if bad is not None:
        raise BadLine(f"Bad key types '{value}' (unknown: '{bad}').")


def _strict_list(line: Line, words: list[str]) -> None:
    if not words and line.release >= STRICT_LISTS_SINCE:
        raise BadLine(f"no {line.keyword} specified")


def _ipqos(line: Line) -> None:
    first = line.required()
    for value in (first, line.args.next()):
        if value is not None and not _is_qos(value):
            raise BadLine(f"Bad {line.keyword} value: {value}")


def _is_qos(value: str) -> bool:
    if value.lower() in QOS:
        return True
    found = re.fullmatch(r"[+]?(?:0[xX]([0-9a-fA-F]{1,8})|0([0-7]{0,8})|([1-9]\d{0,8}))", value)
    if found is None:
        return False
    if found[1] is not None:
        return int(found[1], 16) <= 255
    return int(found[2] or "0", 8) <= 255 if found[3] is None else int(found[3]) <= 255


LIST_CHECKS: dict[str, Check] = {
    "timeouts": _timeouts, "penalties": _penalties, "logverbose": _log_verbose, "users": _users,
    "groups": _groups, "words": _words, "acceptenv": _accept_env, "setenv": _set_env,
    "permitopen": _permit_open, "permitlisten": _permit_open, "methods": _methods,
    "keyoptions": _key_options, "subsystem": _subsystem,
    "ciphers": _names_of(algorithms.CIPHERS, "cipher spec"),
    "macs": _names_of(algorithms.MACS, "mac spec"), "kex": _names_of(algorithms.KEX, "KexAlgorithms"),
    "gsskex": _gss_kex, "keytypes": _key_types, "ipqos": _ipqos,
}  # fmt: skip
