"""What every test gets: a state folder of its own, with the settings that `./run.sh env` prints."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from commands.main import main
from gitops.repository import GitopsRepository
from tests import cluster_equipment
from tests.cluster_equipment import Cluster, running_cluster
from tests.gitops_world import World
from tests.scheduling import Scheduling, longest_first
from tests.unmeasured import COVERAGE_VARIABLE

# A test case has no deadline: the first one may import a library, and a shared machine may stand still.
hypothesis.settings.register_profile("shared", deadline=None)
hypothesis.settings.load_profile("shared")

CHECKOUT = Path(__file__).resolve().parents[1]
PLACEHOLDER = "{state}"
WELL_COVERED = 80
CLUSTER = pytest.StashKey[ExitStack]()


def pytest_configure() -> None:
    """A shell's background job ignores Ctrl-C from its start, and so would every process that a test interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        longest_first(items, config.getini("testpaths"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    return Scheduling(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say why a test was tried again. Where the whole suite was measured, name the files of which too little ran;
    coverage.xml has every line."""
    for attempt in terminalreporter.stats.get("rerun", ()):
        terminalreporter.write_sep("_", f"tried again: {attempt.nodeid}")
        terminalreporter.line(attempt.longreprtext)
    report = config.option.cov_report.get("json") if getattr(config.option, "cov_fail_under", None) else None
    # A run that was interrupted has none.
    if report and Path(report).is_file():
        for name, file in sorted(json.loads(Path(report).read_text())["files"].items()):
            if file["summary"]["percent_covered"] < WELL_COVERED:
                terminalreporter.line(f"{file['summary']['percent_covered']:.0f} % of {name}")


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[None]:
    """What the tests of a file start runs without coverage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv(COVERAGE_VARIABLE, raising=False)
        yield


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of `./run.sh env`, with a placeholder where the state folder stands."""
    folder = str(tmp_path_factory.mktemp("settings"))
    printed = subprocess.run(
        [CHECKOUT / "run.sh", "env"],
        env={**os.environ, "BAKEHOUSE_STATE": folder},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return dict(word.split("=", 1) for word in shlex.split(printed.replace(folder, PLACEHOLDER)) if "=" in word)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder for this test alone; whatever the test starts inherits it."""
    folder = tmp_path / "state"
    ours = [name for name in os.environ if name.startswith(("BAKEHOUSE_", "MLFLOW_TRACKING", "ZENML_"))]
    for name in set(ours) - {cluster_equipment.VARIABLE}:
        monkeypatch.delenv(name)
    for name, value in settings.items():
        monkeypatch.setenv(name, value.replace(PLACEHOLDER, str(folder)))
    monkeypatch.setenv("BAKEHOUSE_STATE", str(folder))
    return folder


class Asked:
    """`bakehouse` in this process: a new one would spend its seconds on imports."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command, whatever comes of it."""
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        said = self._capsys.readouterr()
        code = ended.value.code or 0
        assert isinstance(code, int)
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    def __call__(self, *arguments: str, code: int = 0) -> str:
        """What a command prints; what it complains of, where it is to end with another code than 0."""
        done = self.attempt(*arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    def json(self, *arguments: str) -> Any:
        """What a command answers as JSON."""
        return json.loads(self(*arguments, "--json"))


@pytest.fixture
def bakehouse(capsys: pytest.CaptureFixture[str]) -> Asked:
    return Asked(capsys)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The checkout under test. Read it; write to `tmp_path`."""
    return CHECKOUT


@pytest.fixture
def world(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A checkout and a bare GitOps repository of this test's own, on real git."""
    made = World(tmp_path)
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(made.checkout))
    return made


@pytest.fixture
def repository(world: World) -> GitopsRepository:
    """The GitOps repository of this test's own."""
    return GitopsRepository.open()


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An isolation forest over orders as an ONNX graph. Read it; write to `tmp_path`."""
    from tests.served import forest

    return forest(tmp_path_factory.mktemp("graph") / "model.onnx")


@pytest.fixture(scope="session")
def cluster(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A real Kubernetes API and Argo CD, shared by the tests that carry `xdist_group("cluster")`."""
    with ExitStack() as until:
        pytestconfig.stash[CLUSTER] = until
        yield until.enter_context(running_cluster(tmp_path_factory.mktemp("cluster")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Stop the cluster after the last test that wants it: at rest it takes a third of a core from those that follow."""
    done = yield
    if CLUSTER in item.config.stash and item is _last_with_cluster(item.session):
        item.config.stash[CLUSTER].close()
        del item.config.stash[CLUSTER]
    return done


def _last_with_cluster(session: pytest.Session) -> pytest.Item:
    return next(item for item in reversed(session.items) if "cluster" in getattr(item, "fixturenames", ()))
