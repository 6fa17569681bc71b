"""A real Prometheus that scrapes what a test lets it, labelled as pods are in a cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import yaml

from tests.loopback import free_port, wait_for_answer
from tests.waiting import eventually

DEADLINE_SECONDS = 60


@dataclass
class Exporter:
    """A small `/metrics` that answers the series of the last `tell`, in Prometheus' text format."""

    series: dict[str, float] = field(default_factory=dict)
    url: str = ""

    def tell(self, series: Mapping[str, float]) -> None:
        """Answer these from now on, beside those of before."""
        self.series = {**self.series, **series}


@dataclass(frozen=True)
class Scraping:
    """A running Prometheus."""

    url: str

    def value(self, query: str) -> float | None:
        """The first value of an instant query, if there is any."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=30, trust_env=False).json()
        rows = answer["data"]["result"]
        return float(rows[0]["value"][1]) if rows else None

    def wait_for(self, query: str, wanted: Callable[[float], bool]) -> None:
        """Wait until the query's value is as wanted."""

        def so() -> bool:
            value = self.value(query)
            return value is not None and wanted(value)

        eventually(lambda: f"{query} is {self.value(query)}", so, DEADLINE_SECONDS)


@contextmanager
def exporter() -> Iterator[Exporter]:
    made = Exporter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = "".join(f"{name} {value}\n" for name, value in made.series.items()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def prometheus(program: str, folder: Path, environments: Mapping[str, list[str]]) -> Iterator[Scraping]:
    """Prometheus, scraping these addresses of each environment twice a second, until the block ends."""
    targets = [
        {"targets": [address.removeprefix("http://") for address in addresses], "labels": {"environment": name}}
        for name, addresses in environments.items()
    ]
    configuration = {
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"},
        "scrape_configs": [{"job_name": "models", "static_configs": targets}],
    }
    with configured(program, folder, configuration) as running:
        yield running


@contextmanager
def configured(program: str, folder: Path, configuration: Mapping[str, Any]) -> Iterator[Scraping]:
    """Prometheus by this configuration, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    running = Scraping(f"http://127.0.0.1:{port}")
    try:
        wait_for_answer(process, f"{running.url}/-/ready", folder / "log", DEADLINE_SECONDS)
        yield running
    finally:
        process.kill()
        process.wait(30)
