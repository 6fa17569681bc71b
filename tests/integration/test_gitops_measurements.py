"""What a promotion asks of a release where it runs, answered by a real Prometheus that scrapes a small exporter."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from bakehouse.errors import ConfigurationError, GateError, ReleaseError
from bakehouse.gates import GateResult
from bentos.common.packaging import BuiltBento
from gitops.measurements import TOKEN_VARIABLE, URL_VARIABLE, Prometheus, Subject
from gitops.promotion import Promotion, commit_release, promote
from gitops.release import Release
from gitops.repository import GitopsRepository
from tests.gitops_world import SETTINGS, World, ask, release
from tests.scraped import Exporter, Scraping, exporter, prometheus
from tests.served import orders_bento, serve
from tests.waiting import eventually

PASSWORD = "se%40cret"
BUCKETS = (0.005, 0.01, 0.05, 0.1, 0.25, 1.0)


@pytest.fixture(scope="module")
def program() -> str:
    found = shutil.which("prometheus")
    if found is None:
        pytest.skip("prometheus is not installed (./run.sh programs)")
    return found


@pytest.fixture(scope="module")
def staging() -> Iterator[Exporter]:
    with exporter() as made:
        yield made


@pytest.fixture(scope="module")
def production() -> Iterator[Exporter]:
    with exporter() as made:
        yield made


@pytest.fixture(scope="module")
def scraping(
    program: str, staging: Exporter, production: Exporter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scraping]:
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus(program, folder, {"staging": [staging.url], "production": [production.url]}) as running:
        yield running


def labels(document: Release, extra: str = "") -> str:
    return f'{{model="{document.model}",model_version="{document.model_version}"{extra}}}'


def info(document: Release) -> str:
    """The series that says which release answers."""
    return "bakehouse_model_info" + labels(document, f',model_digest="{document.model_digest}"')


def traffic(document: Release, served: int, failed: int = 0, slow: int = 0, outcomes: str = "") -> dict[str, float]:
    """What a service would have counted: `slow` requests of more than 0.25 s, outcomes as `name=count` words."""
    counted = {
        "bakehouse_requests_total" + labels(document, ',status="200"'): served - failed,
        "bakehouse_requests_total" + labels(document, ',status="503"'): failed,
    }
    for bound in BUCKETS:
        counted["bakehouse_request_duration_seconds_bucket" + labels(document, f',le="{bound}"')] = (
            served if bound == 1.0 else served - slow
        )
    counted["bakehouse_request_duration_seconds_bucket" + labels(document, ',le="+Inf"')] = served
    for word in outcomes.split():
        name, count = word.split("=")
        counted["bakehouse_predictions_total" + labels(document, f',outcome="{name}"')] = int(count)
    return {name: float(value) for name, value in counted.items()}


def start(target: Exporter, scraping: Scraping, environment: str, document: Release, outcomes: str = "") -> None:
    """Let a release answer, every counter at zero, and wait until that was scraped."""
    target.tell({info(document): 1.0} | traffic(document, 0, outcomes=outcomes))
    series = info(document).replace("{", f'{{environment="{environment}",')
    scraping.wait_for(series, lambda value: value == 1)


def count(target: Exporter, scraping: Scraping, environment: str, document: Release, served: int, **more: Any) -> None:
    """Let it have counted, and wait until that was scraped."""
    target.tell(traffic(document, served, **more))
    whose = labels(document).replace("{", f'{{environment="{environment}",')
    scraping.wait_for(f"sum(bakehouse_requests_total{whose})", lambda value: value == served)
    if "outcomes" in more:
        scraping.wait_for(f"sum(bakehouse_predictions_total{whose})", lambda value: value > 0)


def asked(url: str, thresholds: str, soak: float = 0) -> str:
    return (
        f"from: staging\ncompared_with_champion: false\nhealth: prometheus\nsoak_seconds: {soak}\n"
        f"prometheus:\n  url: {url}\n  window_seconds: 600\n{thresholds}"
    )


def promoted(world: World, repository: GitopsRepository, model: str) -> Promotion:
    return promote(repository, model, "production", proposals=world.bodies)


def promoted_after_soaking(world: World, repository: GitopsRepository, model: str) -> Promotion:
    """The promotion that lands once it has soaked for long enough."""

    def landed() -> Promotion | None:
        with suppress(GateError):
            return promoted(world, repository, model)
        return None

    return eventually(f"{model} has soaked", landed)


def missed(world: World, repository: GitopsRepository, model: str) -> dict[str, GateResult]:
    with pytest.raises(GateError) as raised:
        promoted(world, repository, model)
    return {miss.name: miss for miss in raised.value.misses}


ALL = "  min_requests: 100\n  max_error_rate: 0.01\n  max_p99_seconds: 0.1\n  max_drift: 0.1\n"


def test_a_release_that_answers_well_in_staging_is_let_in_by_its_own_figures(
    world: World, repository: GitopsRepository, scraping: Scraping, staging: Exporter, production: Exporter
) -> None:
    first, second = release(1, model="good"), release(2, model="good", champion=1)
    commit_release(repository, "staging", first)
    ask(repository, "from: staging\nrequire_healthy: false\ncompared_with_champion: false\n")
    promoted(world, repository, "good")
    start(production, scraping, "production", first, "regular=0 anomaly=0")
    commit_release(repository, "staging", second)
    start(staging, scraping, "staging", second, "regular=0 anomaly=0")
    ask(repository, asked(scraping.url, ALL, soak=1))
    count(production, scraping, "production", first, 1000, outcomes="regular=900 anomaly=100")
    count(staging, scraping, "staging", second, 400, outcomes="regular=380 anomaly=20")

    done = promoted_after_soaking(world, repository, "good")

    figures = {gate.name: gate.figure for gate in done.gates}
    assert done.action == "landed"
    assert figures["healthy"] == "healthy"
    assert figures["requests"] == pytest.approx(400, rel=0.5)
    assert figures["error_rate"] == 0
    assert figures["p99_seconds"] == pytest.approx(0.005, rel=0.1)
    assert figures["drift"] == pytest.approx(0.05, abs=0.01)


def test_each_figure_beyond_its_threshold_is_a_miss_with_the_place_where_it_is_set(
    world: World, repository: GitopsRepository, scraping: Scraping, staging: Exporter, production: Exporter
) -> None:
    first, second = release(1, model="bad"), release(2, model="bad", champion=1)
    commit_release(repository, "staging", first)
    ask(repository, "from: staging\nrequire_healthy: false\ncompared_with_champion: false\n")
    promoted(world, repository, "bad")
    commit_release(repository, "staging", second)
    start(production, scraping, "production", first, "regular=0 anomaly=0")
    start(staging, scraping, "staging", second, "regular=0 anomaly=0 unheard=0")
    count(production, scraping, "production", first, 1000, outcomes="regular=900 anomaly=100")
    count(staging, scraping, "staging", second, 50, failed=5, slow=5, outcomes="regular=25 anomaly=15 unheard=10")
    ask(repository, asked(scraping.url, ALL))

    misses = missed(world, repository, "bad")

    assert set(misses) == {"requests", "error_rate", "p99_seconds", "drift"}
    assert misses["requests"].figure == pytest.approx(50, rel=0.5)
    assert misses["error_rate"].figure == pytest.approx(0.1, abs=0.01)
    assert misses["p99_seconds"].figure == pytest.approx(0.925, abs=0.05)
    assert misses["drift"].figure == pytest.approx(0.4, abs=0.02)
    assert misses["error_rate"].source == f"{SETTINGS}: prometheus.max_error_rate"
    assert "in staging" in misses["requests"].explanation
    assert "against model version 1 in production" in misses["drift"].explanation


def test_a_release_that_nobody_asked_anything_has_no_figures_and_is_not_let_in(
    world: World, repository: GitopsRepository, scraping: Scraping, staging: Exporter
) -> None:
    document = release(1, model="idle")
    commit_release(repository, "staging", document)
    start(staging, scraping, "staging", document)
    ask(repository, asked(scraping.url, ALL))
    misses = missed(world, repository, "idle")
    assert set(misses) == {"requests", "error_rate", "p99_seconds"}
    assert misses["requests"].figure == 0
    assert math.isnan(float(misses["error_rate"].figure))
    assert "there was no request" in misses["p99_seconds"].explanation


def test_another_version_that_still_answers_is_named(
    world: World, repository: GitopsRepository, scraping: Scraping, staging: Exporter
) -> None:
    document = release(2, model="rolling")
    commit_release(repository, "staging", document)
    start(staging, scraping, "staging", release(1, model="rolling"))
    ask(repository, asked(scraping.url, ""))
    assert missed(world, repository, "rolling")["healthy"].figure == "model version 1 answers"
    start(staging, scraping, "staging", document)
    said = missed(world, repository, "rolling")["healthy"].figure
    assert said == "model version 1 and model version 2 answers"


def test_a_release_that_no_process_tells_of_is_not_healthy(
    world: World, repository: GitopsRepository, scraping: Scraping
) -> None:
    commit_release(repository, "staging", release(1, model="absent"))
    ask(repository, asked(scraping.url, ""))
    misses = missed(world, repository, "absent")
    assert set(misses) == {"healthy"}
    assert "bakehouse_model_info of model absent with environment staging" in misses["healthy"].explanation


def test_soaking_starts_again_after_a_break(scraping: Scraping, staging: Exporter) -> None:
    document = release(1, model="flapping")
    subject, digest = Subject("staging", "flapping", 1), document.model_digest
    began = datetime.now(UTC)
    start(staging, scraping, "staging", document)

    def answered() -> float:
        return Prometheus(scraping.url).answered_for(subject, digest, began, datetime.now(UTC))

    eventually("it has answered for two seconds", lambda: answered() >= 2)
    del staging.series[info(document)]
    eventually("it does not answer any more", lambda: answered() == 0)
    broken = datetime.now(UTC)
    start(staging, scraping, "staging", document)
    eventually("it answers again", answered)
    assert 0 < answered() <= (datetime.now(UTC) - broken).total_seconds() + 1


def test_a_prometheus_that_does_not_answer_is_a_miss_for_each_figure_beside_the_other_misses(
    world: World, repository: GitopsRepository
) -> None:
    commit_release(repository, "staging", release(1, made=datetime.now(UTC) - timedelta(days=40)))
    ask(repository, asked("http://127.0.0.1:1", ALL) + "max_evidence_age_days: 30\n")
    misses = missed(world, repository, "orders")
    assert set(misses) == {
        "evidence_age_days",
        "healthy",
        "requests",
        "error_rate",
        "p99_seconds",
        "drift",
    }
    for name in ("healthy", "drift"):
        assert misses[name].figure == "not measured"
        assert "Prometheus at http://127.0.0.1:1 did not answer" in misses[name].explanation
        assert URL_VARIABLE in misses[name].explanation


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("from: staging\nhealth: prometheus\n", "the section prometheus must name its url"),
        ("from: staging\nprometheus: {url: 'file:///etc/passwd'}\n", "prometheus.url: String should match"),
        ("from: staging\nprometheus: {url: 'http://x', max_p99_seconds: 1}\n", "max_p99_seconds: .*less than 1"),
        ("from: staging\nprometheus: {url: 'http://x', max_error_rate: 2}\n", "max_error_rate: .*less than or equal"),
        ("from: staging\nprometheus: {url: 'http://x', max_errors: 2}\n", "max_errors: Extra inputs"),
    ],
)
def test_wrong_settings_of_figures_are_named(world: World, repository: GitopsRepository, text: str, said: str) -> None:
    commit_release(repository, "staging", release(1))
    ask(repository, text)
    with pytest.raises(ConfigurationError, match=f"(?s){SETTINGS}.*{said}"):
        promoted(world, repository, "orders")


class Answering:
    """A server that answers one thing to whatever is asked, and remembers the headers."""

    def __init__(self, status: int, body: bytes, location: str = "") -> None:
        self.authorizations: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def do_GET(self) -> None:
                outer.authorizations.append(self.headers["Authorization"])
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Answering:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


NOTHING = json.dumps({"status": "success", "data": {"result": []}}).encode()
SUBJECT = Subject("staging", "orders", 1)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b"", "503 Service Unavailable"),
        (200, b"<html>", "Invalid JSON"),
        (200, b"{}", "status: Field required"),
        (200, b'{"status": "error", "error": "query timed out"}', "status: Input should be"),
        (200, b'{"status": "success", "data": {"result": [{}]}}', "metric: Field required"),
        (200, b"[1]", "the answer: Input should be an object"),
    ],
)
def test_an_answer_that_is_none_is_an_error_that_says_so(status: int, body: bytes, said: str) -> None:
    with Answering(status, body) as server, pytest.raises(ReleaseError, match=f"did not answer: .*{said}"):
        Prometheus(server.url).requests(SUBJECT, 60, datetime.now(UTC))


def test_credentials_go_to_the_prometheus_alone_and_into_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with Answering(200, NOTHING) as server:
        monkeypatch.setenv(URL_VARIABLE, server.url.replace("http://", f"http://ada:{PASSWORD}@"))
        asked = Prometheus("http://elsewhere.example")
        assert asked.requests(SUBJECT, 60, datetime.now(UTC)) == 0
        assert server.authorizations == ["Basic YWRhOnNlQGNyZXQ="]
        monkeypatch.setenv(TOKEN_VARIABLE, "letmein")
        Prometheus(server.url).requests(SUBJECT, 60, datetime.now(UTC))
        assert server.authorizations[-1] == "Bearer letmein"
        with Answering(302, b"", location=server.url) as sending:
            monkeypatch.setenv(URL_VARIABLE, sending.url)
            Prometheus(sending.url).requests(SUBJECT, 60, datetime.now(UTC))
            assert [*sending.authorizations, *server.authorizations[-1:]] == ["Bearer letmein", None]
        monkeypatch.setenv(URL_VARIABLE, f"http://ada:{PASSWORD}@127.0.0.1:1")
        with pytest.raises(ReleaseError) as raised:
            Prometheus("http://elsewhere.example").requests(SUBJECT, 60, datetime.now(UTC))
        assert "cret" not in str(raised.value)


@pytest.fixture(scope="module")
def bento(program: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[BuiltBento, Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(tmp_path_factory.mktemp("state")))
        return orders_bento(tmp_path_factory.mktemp("bento"))


def test_the_real_service_exports_what_is_asked_for(
    bento: tuple[BuiltBento, Path], world: World, repository: GitopsRepository, program: str, tmp_path: Path
) -> None:
    built, unpacked = bento
    document = release(1).model_copy(update={"model_digest": built.model_digest})
    with (
        serve(unpacked, tmp_path / "home") as served,
        prometheus(program, tmp_path / "prometheus", {"staging": [served.url]}) as scraping,
        served.client() as client,
    ):
        commit_release(repository, "staging", document)
        example = example_of(client)
        # The first answer makes the series; what came before the first scrape of it is not counted.
        assert client.post("/predict", json=example).status_code == 200
        scraping.wait_for('bakehouse_requests_total{environment="staging"}', lambda value: value >= 1)
        for _ in range(40):
            client.post("/predict", json=example)
        thresholds = "  min_requests: 20\n  max_error_rate: 0\n  max_p99_seconds: 0.9\n  max_drift: 0.5\n"
        ask(repository, asked(scraping.url, thresholds, soak=1))
        done = promoted_after_soaking(world, repository, "orders")
    figures = {gate.name: gate.figure for gate in done.gates}
    assert done.action == "landed"
    assert figures["healthy"] == "healthy"
    assert isinstance(figures["p99_seconds"], float)
    assert 0 < figures["p99_seconds"] < 0.9


def example_of(client: httpx.Client) -> Any:
    """The request of the contract's example, as the service's own docs have it."""
    operation = client.get("/docs.json").json()["paths"]["/predict"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    return content["example"] if "example" in content else next(iter(content["examples"].values()))["value"]
