"""Where a machine has everything, a skip that is not expected there fails the run: real runs of pytest."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.skips import ALLOWED
from tests.workflows import step, workflow

RUN = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir")


def ended(folder: Path, *tests: str, plugin: bool = True, workers: int = 0) -> subprocess.CompletedProcess[str]:
    """How a run of pytest ends over tests of these bodies."""
    bodies = "\n".join(f"def test_{number}():\n    {body}\n" for number, body in enumerate(tests))
    (folder / "test_some.py").write_text(f"import pytest\n\n{bodies}")
    chosen = ("-p", "tests.skips") if plugin else ()
    command = (*RUN, folder, *chosen, "-n", str(workers), "test_some.py")
    path = {"PYTHONPATH": str(CHECKOUT), "PYTEST_ADDOPTS": ""}
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **path}, capture_output=True, text=True, check=False, timeout=120
    )


def skip(reason: str) -> str:
    return f"pytest.skip({reason!r})"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_skip_that_is_not_expected_fails_the_run_and_is_named(workers: int, tmp_path: Path) -> None:
    done = ended(tmp_path, "pass", skip("redis is not installed"), skip("redis is not installed"), workers=workers)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert re.search("skipped 2.*: redis is not installed", done.stdout)


@pytest.mark.parametrize("reason", ALLOWED)
def test_a_skip_that_is_expected_passes(reason: str, tmp_path: Path) -> None:
    done = ended(tmp_path, "pass", skip(f"{reason} and so on"))
    assert done.returncode == 0, done.stdout


def test_nothing_is_asked_of_other_machines(tmp_path: Path) -> None:
    assert ended(tmp_path, "pass", skip("redis is not installed"), plugin=False).returncode == 0


def test_a_run_that_failed_fails_as_it_did(tmp_path: Path) -> None:
    assert ended(tmp_path, skip("redis is not installed"), "raise KeyboardInterrupt").returncode == (
        pytest.ExitCode.INTERRUPTED
    )


@pytest.mark.parametrize("reason", ALLOWED)
def test_every_reason_that_is_allowed_is_one_that_a_test_gives(reason: str) -> None:
    tests = "".join(path.read_text() for path in (CHECKOUT / "tests").rglob("*.py") if path.name != "skips.py")
    assert f'"{reason}' in tests


def test_build_servers_install_the_programs_and_ask_it() -> None:
    (whole,) = [it for it in workflow("ci.yml")["jobs"]["tests"]["strategy"]["matrix"]["include"] if "everything" in it]
    assert whole["os"].startswith("ubuntu")
    run = step("ci.yml", "tests", "Test everything")
    texts = {"ci.yml": str(run), ".ci/run": (CHECKOUT / ".ci" / "run").read_text()}
    for name, text in texts.items():
        assert "-p tests.skips" in text, name
        assert re.search(r"\./run\.sh programs(.|\n)*(\./run\.sh pytest|make test)", text), name
