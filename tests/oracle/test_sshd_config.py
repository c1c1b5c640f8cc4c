"""Our sshd_config parser against the real ``sshd -t`` of Debian 12: same verdict, same line.

Needs openssh-server 9.2 on this host and root (sshd -t looks at /run/sshd).
"""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.oracle.cases import WHOLE, combinations, families
from tests.oracle.sshd_oracle import SSHD, agree, ask_parser, ask_sshd

FAMILY_STEP = 24
"""Of the arguments, one in so many goes with each keyword: keeps the test below 20 seconds."""

RANDOM_FILES = 150
SEED = 20240202


@pytest.fixture(scope="module")
def host_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not SSHD.exists():
        pytest.skip(f"no {SSHD} on this host (package openssh-server)")
    if b"OpenSSH_9.2p1" not in SSHD.read_bytes():
        pytest.skip("the host's sshd is not 9.2, the release that this table is about")
    if os.geteuid() != 0:
        pytest.skip("sshd -t wants /run/sshd, and root to make it")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    path = tmp_path_factory.mktemp("oracle") / "host_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


def compare(texts: list[bytes], directory: Path, host_key: Path) -> list[str]:
    """The configurations on which sshd and the parser differ, described."""

    def one(numbered: tuple[int, bytes]) -> str:
        number, text = numbered
        path = directory / f"config{number}"
        path.write_bytes(text)
        real, ours = ask_sshd(path, host_key), ask_parser(path)
        return "" if agree(real, ours) else f"{text[:200]!r}: sshd {real}, parser {ours}"

    with ThreadPoolExecutor(max_workers=(os.cpu_count() or 2) + 1) as pool:
        return [difference for difference in pool.map(one, enumerate(texts)) if difference]


def test_the_parser_agrees_with_the_real_sshd(host_key: Path, tmp_path: Path) -> None:
    texts = [text.encode() for text in (*WHOLE, *families(FAMILY_STEP), *combinations(RANDOM_FILES, SEED))]
    differences = compare(texts, tmp_path, host_key)
    print(f"sshd_config: {len(texts) - len(differences)} of {len(texts)} agree with {SSHD} -t")
    assert not differences, "\n".join(differences)


def test_includes_agree_with_the_real_sshd(host_key: Path, tmp_path: Path) -> None:
    """Files that include others: the line named, and the file it is in."""
    good, bad, blocks = tmp_path / "good.conf", tmp_path / "bad.conf", tmp_path / "blocks.conf"
    good.write_text("X11Forwarding no\n")
    bad.write_text("# fine\nX11Forwarding maybe\n")
    blocks.write_text("Match User x\nX11Forwarding no\nMatch all\nMaxAuthTries 3\n")
    (tmp_path / "global.conf").write_text("UsePAM yes\n")
    (tmp_path / "self.conf").write_text(f"Include {tmp_path}/self.conf\n")
    (tmp_path / "dangling.conf").symlink_to("/nonexistent")
    texts = [
        f"Include {good}\nPort 22\n",
        f"Include {bad}\nPort 22\n",
        f"Port 22\nInclude {good} {bad}\n",
        f"Include {tmp_path}/b*.conf\n",
        f"Include {blocks}\nPort 22\n",
        f"Match User y\nInclude {blocks}\nX11Forwarding no\n",
        f"Match User y\nInclude {blocks}\nPort 22\n",
        f"Match User y\nInclude {tmp_path}/global.conf\n",
        f"Match all\nInclude {tmp_path}/global.conf\n",
        f"Include {tmp_path}/self.conf\n",
        f"Include {tmp_path}/dang*.conf\n",
        f"Include {tmp_path}/dangling.conf\n",
        f"Include {tmp_path}\n",
        f'Include "{good}"\nFoo 1\n',
    ]
    directory = tmp_path / "mains"
    directory.mkdir()
    assert compare([text.encode() for text in texts], directory, host_key) == []


@pytest.mark.corpus
@pytest.mark.skipif(not os.environ.get("CORPUS"), reason="CORPUS names no folder")
def test_published_configurations_agree_with_the_real_sshd(host_key: Path, tmp_path: Path) -> None:
    texts = [path.read_bytes() for path in sorted((Path(os.environ["CORPUS"]) / "sshd").iterdir())]
    assert texts
    assert compare(texts, tmp_path, host_key) == []
