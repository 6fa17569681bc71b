"""What several files of integration tests share: an orders service, a laptop on which delivery runs, an S3."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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

NUMBERS = itertools.count(1)


@pytest.fixture
def new_model() -> str:
    """A name for a model that no other test has, nor an earlier attempt at the same test."""
    return f"model-{next(NUMBERS)}"


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


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an empty S3 on loopback, and the environment in which every AWS client of the test reaches it."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset")  # the servers of one process share what they hold
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()  # one that another test opened would ask that test's server
    yield boto3.client("s3")
    server.stop()
