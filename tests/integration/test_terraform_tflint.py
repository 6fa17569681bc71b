"""tflint with every rule on Terraform itself: what is written is used, named and typed as Terraform wants it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra import offline

TERRAFORM = offline.CHECKOUT / "terraform"

pytestmark = pytest.mark.skipif(not shutil.which("tflint"), reason="tflint is not installed (make infra-test does)")


def tflint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["tflint", "--recursive", "--format", "compact", "--config", str(TERRAFORM / ".tflint.hcl")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_tflint_finds_nothing() -> None:
    done = tflint(TERRAFORM)
    assert done.returncode == 0, done.stdout + done.stderr


def test_tflint_finds_a_variable_that_nothing_uses(tmp_path: Path) -> None:
    shutil.copytree(TERRAFORM / "modules" / "budget", tmp_path / "budget")
    with (tmp_path / "budget" / "variables.tf").open("a") as file:
        file.write('\nvariable "unused" {\n  description = "Nothing."\n  type        = string\n}\n')
    done = tflint(tmp_path)
    assert done.returncode != 0
    assert "terraform_unused_declarations" in done.stdout
