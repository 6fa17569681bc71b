"""What several files of integration tests share: a running orders service, and a laptop on which delivery runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.delivering import (
    Delivery,
    configure,
    leftovers,
    wait_until,
)
from tests.loopback import free_port
from tests.served import Served, orders_bento, serve


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        return orders_bento(tmp_path_factory.mktemp("bento"))[1]


@pytest.fixture(scope="module")
def served(bento: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all the tests that only ask it."""
    with serve(bento, tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[httpx.Client]:
    with served.client() as opened:
        yield opened


@pytest.fixture
def copied(bento: Path, tmp_path: Path) -> Path:
    """A bento of the test's own, to spoil."""
    return shutil.copytree(bento, tmp_path / "bento")


@pytest.fixture
def ports() -> dict[str, int]:
    return {"staging": free_port(), "production": free_port()}


@pytest.fixture
def laptop(tmp_path: Path, checkout: Path, ports: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose delivery settings suit a test: free ports, and little pause between two looks."""
    root = tmp_path / "checkout"
    (root / "bentos").mkdir(parents=True)
    (root / "environments" / "local").mkdir(parents=True)
    for environment in ports:
        settings = f"environments/{environment}/settings"
        shutil.copytree(checkout / settings, root / settings)
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(root))
    configure(root, ports)
    return root


@pytest.fixture
def delivery(laptop: Path, tmp_path: Path, checkout: Path) -> Iterator[Delivery]:
    running = Delivery(tmp_path / "deliver.log", checkout)
    yield running
    if running.process is not None and running.process.poll() is None:
        running.end()
    print(running.said())  # noqa: T201 - shown where the test failed
    wait_until(lambda: not leftovers(tmp_path))
