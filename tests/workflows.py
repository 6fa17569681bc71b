"""What the tests of GitHub's workflows share: a workflow read, its expressions evaluated, its scripts run. No test."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import yaml
from jinja2 import ChainableUndefined, Environment

FOLDER = Path(__file__).resolve().parents[1] / ".github" / "workflows"


def names() -> list[str]:
    return sorted(path.name for path in FOLDER.glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    loaded: dict[Any, Any] = yaml.safe_load((FOLDER / name).read_text())
    return {"on" if key is True else key: value for key, value in loaded.items()}  # YAML 1.1 reads `on` as true


def evaluated(text: str, **contexts: Any) -> str:
    """A text whose expressions are of names, `==`, `!=`, `&&` and `||` alone, as GitHub evaluates it: what is not there
    is empty. Jinja reads them once their operators are spelt as its own."""
    said = text.replace("${{", "{{").replace("&&", "and").replace("||", "or")
    rendered: str = Environment(undefined=ChainableUndefined, autoescape=False).from_string(said).render(contexts)  # noqa: S701
    return rendered


def step(name: str, job: str, called: str) -> dict[str, Any]:
    """The step of a job whose name or id it is."""
    steps: list[dict[str, Any]] = workflow(name)["jobs"][job]["steps"]
    (found,) = [it for it in steps if called in (it.get("id"), it.get("name"))]
    return found


def run(text: str, folder: Path, **variables: str) -> str:
    """Run a step's script as a runner does; what it wrote to GITHUB_OUTPUT. Raises `CalledProcessError`."""
    outputs = folder / "outputs"
    outputs.write_text("")
    subprocess.run(
        ["bash", "--noprofile", "--norc", "-e", "-c", text],
        cwd=folder,
        env={**os.environ, "GITHUB_OUTPUT": str(outputs), "RUNNER_TEMP": str(folder), **variables},
        check=True,
        capture_output=True,
    )
    return outputs.read_text()


def program(folder: Path, name: str, script: str) -> None:
    """A program that stands in `folder` in another's stead."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
