"""Local delivery with real git, real processes and real HTTP; only the bento is a stand-in that starts quickly."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from gitops.observations import observations
from tests import fake_bento
from tests.delivering import (
    DELIVER,
    LITTLE_PATIENCE,
    Delivery,
    configure,
    get,
    runs,
    status,
    wait_for,
    wait_until,
    wants,
)


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
