"""The two commands of a newcomer, in a copy of the checkout: `make demo` as `python -m tools.demo`, and `make up`."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import yaml

from gitops.environment import Place
from gitops.history import released
from gitops.holds import held
from gitops.observations import observations
from gitops.repository import GitopsRepository
from tests.fake_bento import free_port


@pytest.fixture
def copy(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the checkout as they are now, in a git repository of their own, with ports that nobody uses."""
    root = tmp_path / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (checkout / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(checkout / name, root / name)
    settings = root / "environments" / "local" / "delivery.yaml"
    document = yaml.safe_load(settings.read_text())
    document["environments"] = {name: {"port": free_port()} for name in document["environments"]}
    settings.write_text(yaml.safe_dump(document))
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "A checkout"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(root))
    monkeypatch.setenv("ZENML_CUSTOM_SOURCE_ROOT", str(root))
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return root


def test_the_demo_goes_the_whole_way_and_again_with_the_databases_gone_and_leaves_nothing_running(
    copy: Path, state: Path
) -> None:
    first = tour(copy)
    assert first.returncode == 0, first.stdout
    assert "$ zenml pipeline run pipelines.training.training -c zenml_config.yaml" in first.stdout
    assert "✓ release (" in first.stdout, "each step is shown as it ends"
    assert "✓ acceptance_rate" in first.stdout, "and each gate with its figure"
    assert where_things_stand() == (2, 1, True)
    assert leftovers(state) == []

    shutil.rmtree(state / "mlflow")
    shutil.rmtree(state / "zenml")
    again = tour(copy)
    assert again.returncode == 0, again.stdout
    assert "$ bakehouse hold orders --env production --lift" in again.stdout
    assert where_things_stand() == (4, 3, True), "versions go on counting where git left off"
    assert leftovers(state) == []
    assert dirty(copy) == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_stopped_leaves_nothing_running(copy: Path, state: Path, number: int) -> None:
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux ends the children of a killed process")
    running = subprocess.Popen([sys.executable, "-m", "tools.demo"], cwd=copy, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: observations().delivering)
    wait_until(lambda: any("zenml" in " ".join(process.cmdline()) for process in leftovers(state)))
    running.send_signal(number)
    output, _ = running.communicate(timeout=90)
    if number != signal.SIGKILL:
        assert running.returncode == 130
        assert "nothing is left running" in output
    wait_until(lambda: leftovers(state) == [])


def test_a_demo_whose_port_is_taken_says_which_and_leaves_nothing_running(copy: Path, state: Path) -> None:
    port = ports(copy)["production"]
    with socket.create_server(("127.0.0.1", port)):
        ended = tour(copy)
    assert ended.returncode == 1
    assert f"Port {port}, where production should answer, is already in use" in ended.stdout
    assert leftovers(state) == []


def test_up_shows_where_everything_answers_and_stops_it_all_on_interrupt(copy: Path, state: Path) -> None:
    mlflow = free_port()
    log = state.parent / "up.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", "tools.up", "--mlflow-port", str(mlflow)],
            cwd=copy,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "Ctrl-C stops all of it" in log.read_text(), 120)
        for url in (
            f"http://127.0.0.1:{mlflow}/health",
            *(f"http://127.0.0.1:{port}/" for port in ports(copy).values()),
        ):
            assert url.removesuffix("/health").removesuffix("/") in log.read_text()
            with urllib.request.urlopen(url, timeout=10) as response:
                assert response.status == 200
        assert "zenml pipeline run" in log.read_text(), "without a release it says how to get one"
    finally:
        running.send_signal(signal.SIGINT)
        code = running.wait(timeout=90)
    assert code == 0
    wait_until(lambda: leftovers(state) == [])


def test_up_names_a_port_that_is_taken(copy: Path, state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "tools.up", "--mlflow-port", str(port)],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert ended.returncode == 1
    assert f"Port {port}, where the MLflow UI should answer, is already in use" in ended.stdout
    assert leftovers(state) == []


def tour(copy: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.demo"],
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=500,
        check=False,
    )


def where_things_stand() -> tuple[int | None, int | None, bool]:
    """The versions in staging and production, and whether production is held, as git has them."""
    repository = GitopsRepository.open()
    repository.fetch()
    snapshot = repository.at()
    staging, production = (released(snapshot, Place(name, "orders")) for name in ("staging", "production"))
    return (
        staging.model_version if staging else None,
        production.model_version if production else None,
        held(snapshot, Place("production", "orders")) is not None,
    )


def ports(copy: Path) -> dict[str, int]:
    document = yaml.safe_load((copy / "environments" / "local" / "delivery.yaml").read_text())
    return {name: address["port"] for name, address in document["environments"].items()}


def dirty(copy: Path) -> str:
    return subprocess.run(["git", "status", "--porcelain"], cwd=copy, check=True, capture_output=True, text=True).stdout


def leftovers(state: Path) -> list[psutil.Process]:
    """Processes that know this test's state folder and still run, this one aside."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("BAKEHOUSE_STATE") == str(state):
                found.append(process)
        except psutil.Error:
            continue
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come about within {seconds} s; seen last: {observations()}")
        time.sleep(0.1)
