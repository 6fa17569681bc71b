"""Local delivery as a process: which environments it takes, how it stops, is killed and restarted, and what it says."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from gitops.observations import observations
from tests import fake_bento
from tests.delivering import (
    Delivery,
    configure,
    get,
    leftovers,
    runs,
    wait_for,
    wait_until,
)


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
