"""Downloads one package of an rpm distribution through dnf's own library; runs as a process of its own.

The repositories are those that a guest names, so what they answer is hostile: this
file is started as a script (``python -I dnf_child.py``), limits itself, takes one JSON request on
stdin and writes one JSON object: ``{"path": FILE}`` or ``{"error": WORDS, "kind": …}``. The host's own
configuration of dnf is not read; nothing is installed. It imports nothing of guestrepair.

Source: dnf's API reference (``dnf.Base``, ``dnf.repo.Repo``); rpmkeys(8).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ADDRESS_SPACE_BYTES = 4 * 1024**3
CPU_SECONDS = 600
FILE_BYTES = 8 * 1024**3


def limit_self() -> None:
    """No more memory, processor time or written bytes than reading indexes can need."""
    for what, value in (
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, FILE_BYTES),
    ):
        resource.setrlimit(what, (value, value))


def configured(dnf: Any, home: Path, arch: str, repositories: list[dict[str, Any]], *, proxy: str) -> Any:
    """A dnf that knows these repositories and nothing of this host, but how it reaches the network."""
    base = dnf.Base()
    conf = base.conf
    conf.installroot = str(home / "root")
    conf.cachedir = str(home / "cache")
    conf.persistdir = str(home / "persist")
    conf.logdir = str(home / "log")
    conf.reposdir = []
    conf.pluginpath = []
    conf.plugins = False
    # The guest's variables stand filled in already; the library wants its own to be text.
    conf.substitutions.update({"arch": arch, "basearch": arch, "releasever": "0"})
    conf.proxy = proxy
    for number, wanted in enumerate(repositories):
        repo = dnf.repo.Repo(f"guest-{number}", conf)
        repo.baseurl = wanted["baseurl"]
        for key in ("mirrorlist", "metalink"):
            if wanted[key]:
                setattr(repo, key, wanted[key])
        repo.skip_if_unavailable = True
        repo.gpgcheck = False  # done below, with the guest's keys
        repo.repo_gpgcheck = False
        base.repos.add(repo)
    return base


def download(request: dict[str, Any]) -> dict[str, Any]:
    """Find the exact package in the first repository that has it, download it, check its signature."""
    try:
        import dnf
        import dnf.exceptions
        import dnf.repo
    except ImportError:
        return {"error": "dnf's library is not on this host (package python3-dnf)", "kind": "tool"}
    home, repositories = Path(request["home"]), request["repositories"]
    for name in ("root", "cache", "persist", "log"):
        (home / name).mkdir(exist_ok=True)
    base = configured(dnf, home, request["arch"], repositories, proxy=request["proxy"])
    try:
        base.fill_sack(load_system_repo=False, load_available_repos=True)
    except (dnf.exceptions.Error, OSError) as error:
        return {"error": str(error)[:300], "kind": "offline"}
    if not list(base.repos.iter_enabled()):
        return {"error": "none of them answers", "kind": "offline"}
    found = base.sack.query().available().filter(name=request["name"], arch=request["arch"])
    exact = list(found.filter(evr=request["version"]))
    if not exact:
        return {"error": ", ".join(sorted({p.evr for p in found}))[:300], "kind": "superseded"}
    try:
        base.download_packages(exact[:1])
    except (dnf.exceptions.Error, OSError) as error:
        return {"error": str(error)[:300], "kind": "offline"}
    path = exact[0].localPkg()
    repository = repositories[int(exact[0].reponame.partition("-")[2])]
    problem = signature_problem(path, home, request["keys"]) if repository["gpgcheck"] else ""
    return {"error": problem, "kind": "signature"} if problem else {"path": path}


def signature_problem(path: str, home: Path, keys: list[str]) -> str:
    """Why the package is not signed by one of the guest's keys; empty when it is."""
    if not keys:
        return "the guest has none of the keys that its repositories are signed with"
    database = home / "keys"
    database.mkdir(exist_ok=True)
    rpmkeys = ["rpmkeys", "--root", "/", "--dbpath", str(database), "--define", "_db_backend sqlite"]
    try:
        subprocess.run([*rpmkeys, "--import", *keys], check=True, capture_output=True)
        done = subprocess.run(
            [*rpmkeys, "--checksig", "--define", "_pkgverify_level signature", path],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        return f"the signature cannot be checked: {error}"
    return "" if done.returncode == 0 else done.stdout.strip()[-200:] or "the signature is not good"


def main() -> int:
    """Answer the request on stdin; what libraries print goes to stderr."""
    limit_self()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer = download(json.load(sys.stdin))
    out.write(json.dumps(answer) + "\n" + json.dumps({"end": 1}) + "\n")
    out.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
