"""Local delivery with real git, real processes and real HTTP; only the bento is a stand-in that starts quickly."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import yaml

from gitops.observations import Observation, observations
from tests import fake_bento
from tests.loopback import free_port
from tests.waiting import eventually

DELIVER = """
import logging, sys
from bakehouse.errors import BakehouseError
from gitops.delivery import deliver
from tests.fake_bento import start
logging.basicConfig(level="INFO", format="%(message)s")
try:
    deliver([name for name in sys.argv[1:] if name != "--once"], once="--once" in sys.argv, start=start)
except BakehouseError as error:
    sys.exit(str(error))
"""


LITTLE_PATIENCE = 10.0
"""Seconds in which a stand-in for a bento starts on a busy machine, too."""


class Delivery:
    """`bakehouse deliver` in a process of its own."""

    def __init__(self, log: Path, checkout: Path, code: str = DELIVER) -> None:
        self._log = log
        self._checkout = checkout
        self._code = code
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self._code, *arguments],
                env={**os.environ, "PYTHONPATH": str(self._checkout)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def finish(self) -> int:
        assert self.process is not None
        return self.process.wait(timeout=120)

    def said(self) -> str:
        return self._log.read_text()


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


def test_a_release_commit_starts_its_process_and_the_front_answers_with_it(
    delivery: Delivery, ports: dict[str, int], tmp_path: Path, state: Path
) -> None:
    commit = fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    seen = wait_for("staging", lambda seen: seen.in_sync)
    assert seen.running is not None
    assert (seen.running.commit, seen.running.model_version, seen.status) == (commit, 1, "running")
    assert seen.url == f"http://127.0.0.1:{ports['staging']}/orders"
    answer = get(f"{seen.url}/predict")
    assert answer["model_version"] == 1
    environment = psutil.Process(answer["pid"]).environ()
    assert environment["BAKEHOUSE_PREDICTION_LOG"] == str(state / "predictions" / "staging" / "orders")
    assert json.loads(Path(environment["BAKEHOUSE_RELEASE"]).read_text())["model_version"] == 1
    assert (state / "logs" / "staging" / "orders-1.log").read_text() == "starting\n"


def test_no_request_fails_through_release_and_rollback_under_constant_load(
    delivery: Delivery, ports: dict[str, int], tmp_path: Path
) -> None:
    first, second = fake_bento.build(tmp_path, 1), fake_bento.build(tmp_path, 2)
    fake_bento.commit("staging", first)
    delivery.start()
    wait_for("staging", lambda seen: seen.in_sync)

    async def scenario() -> tuple[list[int], list[int], list[str]]:
        versions: list[int] = []
        failures: list[str] = []
        latest: list[int] = []  # the answers to what was asked after the last switch
        switched, stop = asyncio.Event(), asyncio.Event()
        url = f"http://127.0.0.1:{ports['staging']}/orders/predict"

        async def client(seconds: float) -> None:
            async with aiohttp.ClientSession() as session:
                while not stop.is_set():
                    after = switched.is_set()
                    try:
                        async with session.post(url, params={"seconds": str(seconds)}, data=b"x" * 500) as response:
                            body = await response.read()
                            if response.status == 200:
                                versions.append(json.loads(body)["model_version"])
                                if after:
                                    latest.append(versions[-1])
                            else:
                                failures.append(f"{response.status}: {body.decode()}")
                    except aiohttp.ClientError as error:
                        failures.append(repr(error))

        async def answered(answers: list[int]) -> None:
            before = len(answers)
            await asyncio.to_thread(wait_until, lambda: len(answers) + len(failures) > before + 40)

        # Quick clients, and slow ones that are in flight whenever the switch comes.
        clients = [asyncio.create_task(client(seconds)) for seconds in (0, 0, 0, 0, 0.01, 0.01, 0.3, 1)]
        for version, release in ((2, second), (1, first), (2, second), (1, first)):
            await asyncio.to_thread(fake_bento.commit, "staging", release)
            await asyncio.to_thread(wait_for, "staging", runs(version))
            await answered(versions)
        switched.set()
        await answered(latest)
        stop.set()
        await asyncio.gather(*clients)
        return versions, latest, failures

    versions, latest, failures = asyncio.run(scenario())
    assert failures == []
    assert {1, 2} == set(versions)
    assert {1} == set(latest)


def test_a_request_in_flight_at_the_switch_is_answered_by_the_old_process_which_then_ends(
    delivery: Delivery, ports: dict[str, int], tmp_path: Path
) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    url = wait_for("staging", lambda seen: seen.in_sync).url
    slow = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import urllib.request as u; print(u.urlopen('{url}/predict?until=let_go').read().decode())",
        ],
        stdout=subprocess.PIPE,
    )
    home = Path(get(f"{url}/predict")["home"])
    wait_until((home / "held").exists)
    fake_bento.commit("staging", fake_bento.build(tmp_path, 2))
    wait_for("staging", runs(2))
    assert get(f"{url}/predict")["model_version"] == 2
    assert slow.poll() is None, "the slow request was meant to outlast the switch"
    (home / "let_go").touch()
    output, _ = slow.communicate(timeout=60)
    answer = json.loads(output)
    assert answer["model_version"] == 1
    wait_until(lambda: not psutil.pid_exists(answer["pid"]))
    wait_until(lambda: not Path(answer["home"]).exists())


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"fail": "ImportError: no module named hope"}, "ImportError: no module named hope"),
        ({"fail": 3}, "exit code 3: starting"),
        ({"ready_after": 600}, f"not ready within {LITTLE_PATIENCE:g} s"),
        ({"told": {"model_version": 7}}, "model_version is 7, git pins 2"),
        ({"told": {"model_digest": "sha256:" + "0" * 64}}, "answers as another release: model_digest"),
    ],
)
def test_a_release_that_fails_its_health_check_leaves_the_old_one_answering_and_says_why(
    delivery: Delivery,
    laptop: Path,
    ports: dict[str, int],
    tmp_path: Path,
    checkout: Path,
    broken: dict[str, Any],
    why: str,
) -> None:
    if "ready_after" in broken:
        configure(laptop, ports, health_deadline_seconds=LITTLE_PATIENCE)
    good = fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    before = get(wait_for("staging", lambda seen: seen.in_sync).url + "/predict")
    bad = fake_bento.commit("staging", fake_bento.build(tmp_path, 2, **broken))
    seen = wait_for("staging", lambda seen: seen.status == "failed")
    assert why in seen.message
    assert "version 2" in seen.message
    assert seen.wanted is not None
    assert seen.running is not None
    assert (seen.wanted.commit, seen.running.commit) == (bad, good)
    assert seen.healthy
    assert not seen.in_sync
    assert get(f"{seen.url}/predict")["pid"] == before["pid"]
    shown = status(checkout)
    assert "failed: version 2" in shown
    assert why in shown
    assert "; 1 answers" in shown
    if why.startswith("exit code"):
        return
    fake_bento.commit("staging", fake_bento.build(tmp_path, 3))
    seen = wait_for("staging", runs(3))
    assert seen.message == ""


def test_a_release_whose_image_is_missing_or_was_changed_leaves_the_old_one_answering(
    delivery: Delivery, tmp_path: Path, state: Path
) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    url = wait_for("staging", lambda seen: seen.in_sync).url
    second, third = fake_bento.build(tmp_path, 2), fake_bento.build(tmp_path, 3)
    image = state / "images" / f"{second.image.digest.removeprefix('sha256:')}.bento"
    image.unlink()
    fake_bento.commit("staging", second)
    assert "no image" in wait_for("staging", lambda seen: seen.status == "failed").message
    image = state / "images" / f"{third.image.digest.removeprefix('sha256:')}.bento"
    image.write_bytes(b"changed")
    commit = fake_bento.commit("staging", third)
    seen = wait_for("staging", lambda seen: seen.status == "failed" and wants(seen, commit))
    assert "digest" in seen.message
    assert get(f"{url}/predict")["model_version"] == 1


@pytest.mark.parametrize("what", ["unpacked", "logged"])
def test_what_the_machine_refuses_leaves_the_old_one_answering_and_the_next_one_comes_up(
    delivery: Delivery, tmp_path: Path, state: Path, what: str
) -> None:
    """A full disk fails the same calls; here something else stands where they write."""
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    url = wait_for("staging", lambda seen: seen.in_sync).url
    before = get(f"{url}/predict")["pid"]
    second = fake_bento.build(tmp_path, 2)
    if what == "unpacked":
        (state / "run" / second.image.digest.removeprefix("sha256:")).touch()
    else:
        (state / "logs" / "staging" / "orders-2.log").mkdir()
    fake_bento.commit("staging", second)
    seen = wait_for("staging", lambda seen: seen.status == "failed")
    assert "version 2 did not come up: [Errno" in seen.message
    assert get(f"{url}/predict")["pid"] == before
    fake_bento.commit("staging", fake_bento.build(tmp_path, 3))
    wait_for("staging", runs(3))


def test_once_ends_where_the_machine_refuses_to_start_a_release(
    delivery: Delivery, tmp_path: Path, state: Path
) -> None:
    (state / "logs" / "staging" / "orders-1.log").mkdir(parents=True)
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start("--once")
    assert delivery.finish() == 1
    assert "staging/orders: version 1 did not come up: [Errno" in delivery.said()


def test_what_is_seen_is_recorded_late_where_it_cannot_be_written_at_once(
    delivery: Delivery, tmp_path: Path, state: Path
) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    url = wait_for("staging", lambda seen: seen.in_sync).url
    document = state / "delivery" / "state.json"
    document.unlink()
    (document / "in the way").mkdir(parents=True)
    fake_bento.commit("staging", fake_bento.build(tmp_path, 2))
    wait_until(lambda: get(f"{url}/predict")["model_version"] == 2)
    assert delivery.said().count("what is seen can't be recorded") == 1
    shutil.rmtree(document)
    wait_for("staging", runs(2))


def test_a_defect_ends_the_delivery_loudly(laptop: Path, tmp_path: Path, checkout: Path) -> None:
    """What nobody foresaw is no reason to go on as if one model had never been there."""
    broken = DELIVER.replace("from tests.fake_bento import start", "def start(bento, port): raise ZeroDivisionError")
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery = Delivery(tmp_path / "deliver.log", checkout, broken)
    delivery.start()
    assert delivery.finish() == 1
    assert "ZeroDivisionError" in delivery.said()


def test_a_document_that_is_no_release_leaves_the_old_one_answering_and_other_models_moving(
    delivery: Delivery, tmp_path: Path
) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    url = wait_for("staging", lambda seen: seen.in_sync).url
    fake_bento.commit("staging", '{"schema_version": 1}')
    seen = wait_for("staging", lambda seen: seen.status == "failed")
    assert "not a release document" in seen.message
    assert get(f"{url}/predict")["model_version"] == 1
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1, model="cakes"), model="cakes")
    wait_for("staging", lambda seen: seen.in_sync, model="cakes")
    assert get(f"{url}/predict")["model_version"] == 1


def test_a_failed_release_is_tried_again_after_a_while(
    delivery: Delivery, laptop: Path, ports: dict[str, int], tmp_path: Path, state: Path
) -> None:
    configure(laptop, ports, retry_seconds=1)
    release = fake_bento.build(tmp_path, 1)
    image = state / "images" / f"{release.image.digest.removeprefix('sha256:')}.bento"
    image.rename(tmp_path / "kept.bento")
    fake_bento.commit("staging", release)
    delivery.start()
    wait_for("staging", lambda seen: seen.status == "failed")
    (tmp_path / "kept.bento").rename(image)
    wait_for("staging", lambda seen: seen.in_sync)


def test_a_process_that_dies_is_started_again_and_what_it_had_started_ends(delivery: Delivery, tmp_path: Path) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1, child=True))
    delivery.start()
    first = wait_for("staging", lambda seen: seen.in_sync)
    before = get(f"{first.url}/predict")["pid"]
    children = psutil.Process(before).children()
    assert len(children) == 1
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: not children[0].is_running())
    seen = wait_for("staging", lambda seen: seen.in_sync and seen.since != first.since)
    assert get(f"{seen.url}/predict")["pid"] != before
    assert seen.message == ""


def test_a_process_that_stops_answering_its_health_check_is_reported_until_it_answers_again(
    delivery: Delivery, tmp_path: Path
) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    home = Path(get(wait_for("staging", lambda seen: seen.in_sync).url + "/predict")["home"])
    (home / "sick").touch()
    seen = wait_for("staging", lambda seen: not seen.healthy)
    assert "/readyz" in seen.message
    assert seen.since is None
    (home / "sick").unlink()
    assert wait_for("staging", lambda seen: seen.in_sync).message == ""


def test_the_same_release_under_a_new_commit_needs_no_new_process(delivery: Delivery, tmp_path: Path) -> None:
    release = fake_bento.build(tmp_path, 1)
    fake_bento.commit("staging", release)
    delivery.start()
    url = wait_for("staging", lambda seen: seen.in_sync).url
    before = get(f"{url}/predict")["pid"]
    fake_bento.commit("staging", release.model_copy(update={"created_by": "another"}))
    wait_until(lambda: get(f"{url}/predict")["pid"] != before)
    before = get(f"{url}/predict")["pid"]
    fake_bento.commit("production", release)
    wait_for("production", lambda seen: seen.in_sync)
    assert get(f"{url}/predict")["pid"] == before


def test_a_release_taken_out_of_git_is_stopped(delivery: Delivery, tmp_path: Path) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    url = wait_for("staging", lambda seen: seen.in_sync).url
    pid = get(f"{url}/predict")["pid"]
    fake_bento.commit("staging", None)
    wait_until(lambda: observations().of("staging", "orders") is None and not psutil.pid_exists(pid))
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(f"{url}/predict")
    assert refused.value.code == 404
    fake_bento.commit("staging", fake_bento.build(tmp_path, 2, fail="broken"))
    seen = wait_for("staging", lambda seen: seen.status == "failed")
    assert seen.running is None, "what git took out does not come back in place of what fails"
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(f"{url}/predict")
    assert refused.value.code == 503
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    wait_for("staging", lambda seen: seen.in_sync)


def test_environments_are_delivered_apart_and_only_those_asked_for(delivery: Delivery, tmp_path: Path) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 2))
    fake_bento.commit("production", fake_bento.build(tmp_path, 1))
    delivery.start()
    staging, production = (wait_for(name, lambda seen: seen.in_sync) for name in ("staging", "production"))
    assert get(f"{staging.url}/predict")["model_version"] == 2
    assert get(f"{production.url}/predict")["model_version"] == 1
    assert delivery.end() == 0
    delivery.start("production")
    wait_for("production", lambda seen: seen.in_sync)
    assert observations().of("staging", "orders") is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_when_it_is_stopped_nothing_is_left_running(delivery: Delivery, tmp_path: Path, number: int) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1, child=True))
    delivery.start()
    wait_for("staging", lambda seen: seen.in_sync)
    assert len(leftovers(tmp_path)) >= 2
    assert delivery.end(number) == 0
    assert leftovers(tmp_path) == []
    seen = observations()
    assert not seen.delivering


def test_when_it_is_killed_its_processes_end_and_the_next_one_takes_over(
    delivery: Delivery, tmp_path: Path, state: Path
) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1, child=True))
    delivery.start()
    pid = get(wait_for("staging", lambda seen: seen.in_sync).url + "/predict")["pid"]
    delivery.end(signal.SIGKILL)
    if sys.platform == "linux":
        wait_until(lambda: not psutil.pid_exists(pid))
    seen = observations()
    stopped = seen.of("staging", "orders")
    assert stopped is not None
    assert (seen.delivering, stopped.healthy, stopped.running, stopped.status) == (False, False, None, "stopped")
    # The service's own child outlived it: nobody was left to end that but the next delivery.
    assert leftovers(tmp_path) != []
    orphans = {process.pid for process in leftovers(tmp_path)}
    delivery.start()
    url = wait_for("staging", lambda seen: seen.in_sync).url
    assert get(f"{url}/predict")["model_version"] == 1
    assert not orphans & {process.pid for process in leftovers(tmp_path)}
    assert len(list((state / "delivery" / "processes").iterdir())) == 1


def test_after_a_restart_on_a_failing_release_the_last_good_one_answers(delivery: Delivery, tmp_path: Path) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    wait_for("staging", lambda seen: seen.in_sync)
    fake_bento.commit("staging", fake_bento.build(tmp_path, 2, fail="broken"))
    wait_for("staging", lambda seen: seen.status == "failed")
    delivery.end()
    delivery.start()
    seen = wait_for("staging", lambda seen: seen.status == "failed" and seen.healthy)
    assert get(f"{seen.url}/predict")["model_version"] == 1
    assert "broken" in seen.message


def test_a_second_delivery_on_the_same_state_folder_is_refused(
    delivery: Delivery, tmp_path: Path, checkout: Path
) -> None:
    delivery.start()
    wait_until(lambda: observations().delivering)
    assert delivery.process is not None
    second = Delivery(tmp_path / "second.log", checkout)
    second.start()
    assert second.finish() == 1
    assert f"process {delivery.process.pid}" in second.said()
    assert observations().delivering


def test_a_port_that_is_taken_is_named_with_what_to_do(
    delivery: Delivery, ports: dict[str, int], tmp_path: Path
) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    with socket.create_server(("127.0.0.1", ports["production"])):
        delivery.start()
        assert delivery.finish() == 1
    assert f"Port {ports['production']}, where production should answer, is already in use" in delivery.said()
    assert "environments/local/delivery.yaml" in delivery.said()
    assert leftovers(tmp_path) == []


def test_once_says_whether_everything_that_git_wants_comes_up_and_leaves_nothing(
    delivery: Delivery, tmp_path: Path
) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start("--once")
    assert delivery.finish() == 0
    fake_bento.commit("production", fake_bento.build(tmp_path, 2, fail="broken"))
    delivery.start("--once")
    assert delivery.finish() == 1
    assert "production/orders: version 2 did not come up" in delivery.said()
    assert leftovers(tmp_path) == []


def test_a_repository_that_cannot_be_reached_changes_nothing_and_is_said(
    delivery: Delivery, tmp_path: Path, state: Path
) -> None:
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    url = wait_for("staging", lambda seen: seen.in_sync).url
    (state / "gitops.git").rename(state / "elsewhere.git")
    wait_until(lambda: observations().message != "")
    assert get(f"{url}/predict")["model_version"] == 1
    (state / "elsewhere.git").rename(state / "gitops.git")
    wait_until(lambda: observations().message == "")
    fake_bento.commit("staging", fake_bento.build(tmp_path, 2))
    wait_for("staging", runs(2))


def test_after_a_commit_was_acted_upon_the_named_command_runs_and_its_failure_harms_nothing(
    delivery: Delivery, laptop: Path, ports: dict[str, int], tmp_path: Path, state: Path
) -> None:
    code = "import sys; print('mirrored', flush=True); sys.exit(3)"
    configure(laptop, ports, after_sync=f'python -c "{code}"')
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    wait_for("staging", lambda seen: seen.in_sync)
    log = state / "logs" / "after_sync.log"
    wait_until(lambda: log.exists() and log.read_text() == "mirrored\n")
    fake_bento.commit("staging", fake_bento.build(tmp_path, 2))
    wait_for("staging", runs(2))
    wait_until(lambda: log.read_text() == "mirrored\n" * 2)
    wait_until(lambda: "after_sync ended with exit code 3" in delivery.said())


def test_a_named_command_whose_log_cannot_be_written_harms_nothing(
    delivery: Delivery, laptop: Path, ports: dict[str, int], tmp_path: Path, state: Path
) -> None:
    configure(laptop, ports, after_sync="true")
    (state / "logs" / "after_sync.log").mkdir(parents=True)
    fake_bento.commit("staging", fake_bento.build(tmp_path, 1))
    delivery.start()
    wait_until(lambda: "after_sync can't be run" in delivery.said())
    assert delivery.end() == 0


def configure(root: Path, ports: dict[str, int], **more: Any) -> None:
    document = {
        "environments": {name: {"port": port} for name, port in ports.items()},
        "poll_seconds": 0.1,
        "health_deadline_seconds": 60,
        "drain_seconds": 60,
        "grace_seconds": 5,
        "retry_seconds": 600,
        "check_seconds": 0.2,
        **more,
    }
    (root / "environments" / "local" / "delivery.yaml").write_text(yaml.safe_dump(document))


def wait_for(environment: str, condition: Callable[[Observation], bool], model: str = "orders") -> Observation:
    found: list[Observation] = []

    def seen() -> bool:
        observation = observations().of(environment, model)
        if observation is not None and condition(observation):
            found.append(observation)
        return bool(found)

    wait_until(seen)
    return found[0]


def wait_until(condition: Callable[[], bool], seconds: float = 120) -> None:
    eventually(lambda: f"it comes about; seen last: {observations()}", condition, seconds)


def status(checkout: Path) -> str:
    """The line of `bakehouse status` about orders in staging, as a pipe gets it."""
    command = [sys.executable, "-m", "commands.main", "status"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    (line,) = [line for line in said.splitlines() if line.split()[:2] == ["orders", "staging"]]
    return line


def runs(version: int) -> Callable[[Observation], bool]:
    return lambda seen: seen.in_sync and seen.running is not None and seen.running.model_version == version


def wants(seen: Observation, commit: str) -> bool:
    return seen.wanted is not None and seen.wanted.commit == commit


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=60) as response:
        return json.loads(response.read())


def leftovers(tmp_path: Path) -> list[psutil.Process]:
    """Processes that were started from this test's state folder and still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(tmp_path / "state") in process.environ().get("BAKEHOUSE_PROCESS_HOME", ""):
                found.append(process)
        except psutil.Error:
            continue
    return found
