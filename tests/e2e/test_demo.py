"""The two commands of a newcomer, in a copy of the checkout: `make demo` as `python -m tools.demo`, and `make up`."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
import yaml

from gitops.environment import Place
from gitops.history import released
from gitops.holds import held
from gitops.observations import observations
from gitops.repository import GitopsRepository
from tests.checkout_copy import copy_checkout
from tests.loopback import free_port
from tests.waiting import eventually


def answers(environment: str, version: int, model: str = "orders", field: str = "order_id") -> tuple[str, ...]:
    """What is shown where a service is asked for its release and for a prediction, whose answer begins with a field."""
    return (
        rf"Ask {environment}|Roll {environment} back",
        rf"^\$ curl -s http://127\.0\.0\.1:\d+/{model}/release$",
        rf'^  \{{"model": "{model}", "model_version": {version},',
        rf"^\$ curl -s http://127\.0\.0\.1:\d+/{model}/predict ",
        rf'^  \{{"{field}": .*"model_version": {version}\b',
    )


def reviewed(version: int) -> tuple[str, ...]:
    """What is shown where sentiment is promoted, which asks for a review of each promotion."""
    return (
        r"^\$ bakehouse promote sentiment --to production$",
        rf"sentiment {version} waits for review on the branch ",
        r"The tour plays the reviewer",
        r"^\$ git -C \S+ diff --stat main\.\.\.promote/",
        r"^\$ git -C \S+ fetch \. promote/\S+:main$",
    )


def row(number: int, step: str, outcome: str) -> str:
    """A line of the closing table; its cells may go on in the next line."""
    return rf"^│ +{number} +│ {step}.*│ {outcome}"


PROMISED = (
    r"^\$ bakehouse deliver &$",
    r"^\$ zenml pipeline run pipelines\.training\.training -c zenml_config\.yaml$",
    r"^  ✓ release \(",
    r"✓ acceptance_rate ",
    r"Every gate passed",
    r"Release orders 1 to staging",
    *answers("staging", 1),
    r"^\$ bakehouse promote orders --to production$",
    r"Promoted orders 1 to production",
    *answers("production", 1),
    r"^\$ zenml pipeline run pipelines\.training\.training -c bentos/orders/run\.yaml$",
    r"✓ mean_average_precision_regression|✓ .*champion",
    r"Release orders 2 to staging",
    *answers("staging", 2),
    r"^\$ bakehouse promote orders --to production$",
    r"Promoted orders 2 to production",
    *answers("production", 2),
    r"^\$ bakehouse rollback orders --env production$",
    *answers("production", 1)[1:],
    r"^\$ bakehouse promote orders --to production$",
    r"bakehouse hold orders --env production --lift",
    r"Refused, as it should be",
    r"^\$ bakehouse status$",
    r"orders +production +1 ",
    r"^\$ bakehouse history orders --env production$",
    r"rolled back",
    r"^\$ bakehouse lineage orders --env production$",
    r"git checkout [0-9a-f]{40}",
    r"^The tour *$",
    row(1, "See what git", "looked at every"),
    row(2, "Train on the", "version 1 from"),
    row(3, "Ask staging", "staging answers"),
    row(4, "Promote", "one commit"),
    row(5, "Ask production", "production"),
    row(6, "Train the next", "version 2 from"),
    row(7, "Ask staging", "staging answers"),
    row(8, "Promote", "one commit"),
    row(9, "Ask production", "production"),
    row(10, "Roll production", "production"),
    row(11, "Try to promote", "refused by the"),
    row(12, "Ask git what", "status, history"),
    r"altogether",
    r"^Nothing is left running\.",
)
"""What the README promises of the demo, in the order in which it is to be seen."""


PROMISED_OF_ANY_MODEL = (
    r"^\$ zenml pipeline run pipelines\.training\.training -c \S+/sentiment-first-batch\.yaml$",
    r"✓ accuracy ",
    r"Release sentiment 1 to staging",
    *answers("staging", 1, "sentiment", "label"),
    *reviewed(1),
    *answers("production", 1, "sentiment", "label"),
    r"^\$ zenml pipeline run pipelines\.training\.training -c bentos/sentiment/run\.yaml$",
    r"✓ champion_accuracy_gain ",
    r"Release sentiment 2 to staging",
    *answers("staging", 2, "sentiment", "label"),
    *reviewed(2),
    *answers("production", 2, "sentiment", "label"),
    r"^\$ bakehouse rollback sentiment --env production$",
    *answers("production", 1, "sentiment", "label")[1:],
    r"Refused, as it should be",
    r"sentiment +production +1 ",
    row(4, "Promote", "one commit, reviewed"),
    row(8, "Promote", "one commit, reviewed"),
    row(12, "Ask git what", "status, history"),
    r"^Nothing is left running\.",
)
"""The same of `make demo MODEL=sentiment`: what a model unlike orders shows on its way."""


@pytest.fixture
def copy(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the checkout as they are now, in a git repository of their own, with ports that nobody uses."""
    root = copy_checkout(checkout, tmp_path / "checkout", monkeypatch)
    settings = root / "environments" / "local" / "delivery.yaml"
    document = yaml.safe_load(settings.read_text())
    document["environments"] = {name: {"port": free_port()} for name in document["environments"]}
    settings.write_text(yaml.safe_dump(document))
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "A checkout"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.mark.long
def test_the_demo_goes_the_whole_way_and_again_with_the_databases_gone_and_leaves_nothing_running(
    copy: Path, state: Path
) -> None:
    being_edited(copy)
    before = status(copy), files(copy)
    first = tour(copy)
    assert first.returncode == 0, first.stdout
    assert_in_order(PROMISED, first.stdout)
    assert where_things_stand() == (2, 1, True)
    assert leftovers(state) == []
    assert (status(copy), files(copy)) == before

    few_trials(copy / "zenml_config.yaml")
    few_trials(copy / "bentos/orders/run.yaml")
    shutil.rmtree(state / "mlflow")
    shutil.rmtree(state / "zenml")
    again = tour(copy)
    assert again.returncode == 0, again.stdout
    assert "$ bakehouse hold orders --env production --lift" in again.stdout
    assert where_things_stand() == (4, 3, True), "versions go on counting where git left off"
    assert leftovers(state) == []


@pytest.mark.long
def test_the_demo_takes_another_model_the_whole_way_through_its_reviews(copy: Path, state: Path) -> None:
    few_trials(copy / "bentos/sentiment/run.yaml")
    done = tour(copy, "sentiment")
    assert done.returncode == 0, done.stdout
    assert_in_order(PROMISED_OF_ANY_MODEL, done.stdout)
    assert where_things_stand("sentiment") == (2, 1, True)
    assert leftovers(state) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_demo_that_is_stopped_leaves_nothing_running(copy: Path, state: Path, number: int) -> None:
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux ends the children of a killed process")
    running = subprocess.Popen([sys.executable, "-m", "tools.demo"], cwd=copy, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: observations().delivering)
    wait_until(lambda: any("zenml" in " ".join(command) for command in commands(state)))
    running.send_signal(number)
    output, _ = running.communicate(timeout=300)
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
        wait_until(lambda: "Ctrl-C stops all of it" in log.read_text())
        for url in (
            f"http://127.0.0.1:{mlflow}/health",
            *(f"http://127.0.0.1:{port}/" for port in ports(copy).values()),
        ):
            assert url.removesuffix("/health").removesuffix("/") in log.read_text()
            with urllib.request.urlopen(url, timeout=60) as response:
                assert response.status == 200
        assert "zenml pipeline run" in log.read_text(), "without a release it says how to get one"
    finally:
        running.send_signal(signal.SIGINT)
        code = running.wait(timeout=300)
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
            timeout=300,
            check=False,
        )
    assert ended.returncode == 1
    assert f"Port {port}, where the MLflow UI should answer, is already in use" in ended.stdout
    assert leftovers(state) == []


def tour(copy: Path, *model: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.demo", *model],
        cwd=copy,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1000,
        check=False,
    )


def where_things_stand(model: str = "orders") -> tuple[int | None, int | None, bool]:
    """The versions in staging and production, and whether production is held, as git has them."""
    repository = GitopsRepository.open()
    repository.fetch()
    snapshot = repository.at()
    staging, production = (released(snapshot, Place(name, model)) for name in ("staging", "production"))
    return (
        staging.model_version if staging else None,
        production.model_version if production else None,
        held(snapshot, Place("production", model)) is not None,
    )


def ports(copy: Path) -> dict[str, int]:
    document = yaml.safe_load((copy / "environments" / "local" / "delivery.yaml").read_text())
    return {name: address["port"] for name, address in document["environments"].items()}


def being_edited(copy: Path) -> None:
    """Leave the checkout as somebody at work has it: a file modified, one staged, one not in git."""
    for name, staged in (("README.md", False), ("CHANGELOG.md", True), ("notes.txt", False)):
        with (copy / name).open("a") as file:
            file.write("being edited\n")
        if staged:
            subprocess.run(["git", "add", name], cwd=copy, check=True)
    assert status(copy).split("\0") == ["M  CHANGELOG.md", " M README.md", "?? notes.txt", ""]


def few_trials(configuration: Path) -> None:
    """Let a run try 3 candidates: how well the model does is another test's."""
    text, changed = re.subn(r"(?m)^  trials: \d+$", "  trials: 3", configuration.read_text())
    assert changed == 1
    configuration.write_text(text)


def status(copy: Path) -> str:
    command = ["git", "status", "--porcelain", "-z"]
    return subprocess.run(command, cwd=copy, check=True, capture_output=True, text=True).stdout


def files(copy: Path) -> dict[str, bytes]:
    """Every file that git does not ignore, and what is staged."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=copy, check=True, capture_output=True, text=True).stdout.split("\0")
    staged = subprocess.run(["git", "ls-files", "--stage", "-z"], cwd=copy, check=True, capture_output=True).stdout
    return {"(staged)": staged, **{name: (copy / name).read_bytes() for name in names if name}}


def assert_in_order(promised: Sequence[str], said: str) -> None:
    """Each pattern stands in what was said, after the one before it."""
    place = 0
    for pattern in promised:
        found = re.compile(pattern, re.MULTILINE).search(said, place)
        assert found is not None, f"{pattern!r} does not follow:\n{said[:place][-1000:]}\n--- here ---\n{said[place:]}"
        place = found.end()


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


def commands(state: Path) -> list[list[str]]:
    """The command lines of the leftovers that have not ended meanwhile."""
    found = []
    for process in leftovers(state):
        with contextlib.suppress(psutil.Error):
            found.append(process.cmdline())
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    eventually(lambda: f"it comes about; seen last: {observations()}", condition, seconds)
