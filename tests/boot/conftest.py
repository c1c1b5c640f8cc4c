"""The boots of a file's chosen tests, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from fixtures.booting import WORKERS, Booted


@pytest.fixture(scope="module")
def boots(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Booted]]]:
    """The boot of each chosen test of this file, by the test's name: all started now, a few at a time."""
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        started = {}
        for item in request.session.items:
            boot = getattr(getattr(item, "function", None), "boot", None)
            if boot is not None and item.path == request.path:
                started[item.nodeid] = pool.submit(boot, tmp_path_factory.mktemp("boot"))
        yield started
        pool.shutdown(cancel_futures=True)


@pytest.fixture
def booted(request: pytest.FixtureRequest, boots: dict[str, Future[Booted]]) -> Booted:
    """What came of this test's boot."""
    return boots[request.node.nodeid].result()
