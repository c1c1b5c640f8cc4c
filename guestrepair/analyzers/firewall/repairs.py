"""Rules that accept sshd's ports, put where they are asked before what drops them.

Each is tried out first: the rules are followed again with it, and what does not open the way is not offered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from guestrepair.formats.firewall.rules import Place
from guestrepair.model import Change, Edit, EditFile, GuestPath, MakeDirectory, WriteFile
from guestrepair.system.files import guest_path
from guestrepair.system.firewall.firewall import Firewall, Way
from guestrepair.system.firewall.walk import Answer

MAX_INSERTIONS = 12
_UFW_RULES = b"### RULES ###\n"
_VENDOR_ZONES, _OWN_ZONES = "/usr/lib/firewalld/zones/", "/etc/firewalld/zones/"


@dataclass(slots=True)
class _Files:
    """The files as they will be: their content now, and what has been put in at which offsets of it."""

    firewall: Firewall
    before: dict[str, bytes] = field(default_factory=dict)
    inserted: dict[str, list[tuple[int, bytes]]] = field(default_factory=dict)
    created: dict[str, bytes] = field(default_factory=dict)

    def content(self, path: str) -> bytes:
        if path in self.created:
            return self.created[path]
        if path not in self.before:
            self.before[path] = self.firewall.content(path) or b""
        return self._with(path)

    def _with(self, path: str) -> bytes:
        edits = tuple(Edit(offset=o, length=0, text=t) for o, t in self.inserted.get(path, ()))
        return EditFile(path=GuestPath(path), before=self.before[path], edits=edits).after

    @property
    def instead(self) -> dict[str, bytes]:
        return {path: self._with(path) for path in self.inserted} | self.created

    def insert(self, path: str, offset: int, text: bytes) -> None:
        """Put text in at an offset of the content as it is now."""
        self.content(path)
        pieces = self.inserted.setdefault(path, [])
        shift = 0
        for index, (place, piece) in enumerate(pieces):
            if offset <= place + shift + len(piece):
                if offset >= place + shift:  # inside of, or next to, what was put in before
                    cut = offset - place - shift
                    pieces[index] = (place, piece[:cut] + text + piece[cut:])
                else:
                    pieces.insert(index, (offset - shift, text))
                return
            shift += len(piece)
        pieces.append((offset - shift, text))

    def changes(self) -> tuple[Change, ...]:
        folders = {top for path in self.created for top in guest_path(path).parents}
        found: list[Change] = [
            MakeDirectory(path=folder, mode=0o750)
            for folder in sorted(folders)  # each before what lies in it
            if self.firewall.real(str(folder)) is None
        ]
        found += [WriteFile(path=GuestPath(p), before=None, after=data) for p, data in self.created.items()]
        for path, pieces in self.inserted.items():
            real = self.firewall.real(path)
            if real is None:
                return ()
            edits = tuple(Edit(offset=offset, length=0, text=text) for offset, text in pieces)
            found.append(EditFile(path=real, before=self.before[path], edits=edits))
        return tuple(found)


def opening(firewall: Firewall, family: int) -> tuple[Change, ...]:
    """The changes after which a login gets through over a family; nothing where no rule of ours does that.

    The other family is opened with it where that can be done.
    """
    files = _Files(firewall)
    if not _open(files, family):
        return ()
    alone = files.changes()
    return files.changes() if _open(files, 10 - family) else alone


def _open(files: _Files, family: int) -> bool:
    """Put in what opens all ports over a family: true when they are open then."""
    for _ in range(MAX_INSERTIONS):
        ways = [way for way in files.firewall.ways(files.instead) if way.listening.family == family]
        closed = [way for way in ways if way.passage.answer is Answer.CLOSED]
        if not closed:
            return all(way.passage.answer is Answer.OPEN for way in ways)
        before = files.instead
        if not _insert(files, closed[0]) or files.instead == before:
            return False
    return False


def _insert(files: _Files, way: Way) -> bool:
    loader = way.loader.name if way.loader is not None else ""
    if loader == "nftables":
        return _insert_nft(files, way)
    if loader == "iptables":
        return _insert_iptables(files, way)
    if loader == "ufw":
        return _insert_ufw(files, way)
    return loader == "firewalld" and _insert_firewalld(files, way)


def _is_answer(way: Way) -> bool:
    return way.passage.hook in {"output", "postrouting"}


# --- nftables -----------------------------------------------------------------------------


def _insert_nft(files: _Files, way: Way) -> bool:
    port, passage = way.listening.port, way.passage
    rule = f"tcp sport {port} ct state established accept" if _is_answer(way) else f"tcp dport {port} accept"
    place = passage.before
    if place is not None and place.file.startswith("/"):
        data = files.content(place.file)
        start = data.rfind(b"\n", 0, place.start) + 1
        indent = data[start : place.start]
        if not indent.strip():
            closes = data[place.start : place.start + 1] == b"}"
            text = (indent + (b"\t" if closes else b"")) + rule.encode() + b"\n"
            files.insert(place.file, start, text)
            return True
        if not indent.lstrip().startswith((b"add ", b"insert ", b"rule ")):
            files.insert(place.file, place.start, _inline(data, place, rule))
            return True
    if way.loader is None or not way.loader.files:
        return False
    main = way.loader.files[0]
    data = files.content(main)
    newline = b"" if data.endswith(b"\n") or not data else b"\n"
    text = newline + f"insert rule {passage.table} {passage.chain} {rule}\n".encode()
    files.insert(main, len(data), text)
    return True


def _inline(data: bytes, place: Place, rule: str) -> bytes:
    """A rule between others on their line: before a closing brace, what stands before it needs an end."""
    if data[place.start : place.start + 1] != b"}":
        return f"{rule}; ".encode()
    ended = data[: place.start].rstrip().endswith((b";", b"{", b"}"))
    return f"{'' if ended else '; '}{rule}; ".encode()


# --- iptables and ufw ------------------------------------------------------------------------


def _insert_iptables(files: _Files, way: Way) -> bool:
    place, port, chain = way.passage.before, way.listening.port, way.passage.chain
    if place is None:
        return False
    if _is_answer(way):
        rule = f"-A {chain} -p tcp -m tcp --sport {port} -m conntrack --ctstate ESTABLISHED -j ACCEPT\n"
    else:
        rule = f"-A {chain} -p tcp -m tcp --dport {port} -j ACCEPT\n"
    files.insert(place.file, place.start, rule.encode())
    return True


def _insert_ufw(files: _Files, way: Way) -> bool:
    """What ``ufw allow PORT/tcp`` writes."""
    if _is_answer(way):
        return False
    six, port = way.listening.family == 6, way.listening.port
    path = f"/etc/ufw/user{'6' if six else ''}.rules"
    data = files.content(path)
    at = data.find(_UFW_RULES)
    at = at + len(_UFW_RULES) if at >= 0 else data.rfind(b"COMMIT")
    if at < 0:
        return False
    everywhere = "::/0" if six else "0.0.0.0/0"
    text = (
        f"\n### tuple ### allow tcp {port} {everywhere} any {everywhere} in\n"
        f"-A ufw{'6' if six else ''}-user-input -p tcp --dport {port} -j ACCEPT\n"
    )
    files.insert(path, at, text.encode())
    return True


# --- firewalld --------------------------------------------------------------------------------


def _insert_firewalld(files: _Files, way: Way) -> bool:
    place, port = way.passage.place, way.listening.port
    if place is None or not way.passage.chain.startswith("zone "):
        return False
    path = place.file
    data = files.content(path)
    end = data.rfind(b"</zone>")
    if end < 0:
        return False
    element = '<service name="ssh"/>' if port == 22 else f'<port port="{port}" protocol="tcp"/>'
    text = f"  {element}\n".encode()
    if data[end - 1 : end] != b"\n":
        text = b"\n" + text
    if path.startswith(_OWN_ZONES):
        files.insert(path, end, text)
        return True
    if not path.startswith(_VENDOR_ZONES):
        return False
    files.created[_OWN_ZONES + guest_path(path).name] = data[:end] + text + data[end:]
    return True
