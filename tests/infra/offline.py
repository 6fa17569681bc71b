"""Terraform run away from the checkout and from AWS: a copy of `terraform/`, providers from a mirror on this host, and
an AWS that is a moto server on loopback. Holds what the tests of the Terraform share, and no test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from tests import unmeasured
from tests.loopback import free_port, wait_for_answer

CHECKOUT = Path(__file__).resolve().parents[2]
ROOTS = ("bootstrap", "foundation", "storage", "cluster", "identity", "observability")
UPSTREAM = {
    "bootstrap": (),
    "foundation": (),
    "storage": ("foundation",),
    "cluster": ("foundation",),
    "identity": ("bootstrap", "foundation", "storage", "cluster"),
    "observability": ("foundation", "storage", "identity"),
}
ENVIRONMENTS = ("staging", "production")
START_SECONDS = 240
AS_INSTALLED = "as-installed.rc"


def reason_to_skip() -> str | None:
    """Why Terraform can't run here, or None where it can."""
    if not shutil.which("terraform"):
        return "terraform is not installed"
    if _cli_configuration() is None:
        return "terraform has no mirror of the provider hashicorp/aws: TF_CLI_CONFIG_FILE names none"
    return None


@dataclass(frozen=True)
class Terraform:
    """`terraform` with the settings of one working copy. Every method raises `AssertionError` with what it printed.

    What `init` has installed and verified is not verified again by each command, which would read 700 MB each time."""

    folder: Path
    environment: Mapping[str, str]

    def run(
        self, root: str, *arguments: str, check: bool = True, given: str | None = None, verify: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run one command in a root (a folder of the copy), with `given` on its input, and return what it printed.
        `verify` verifies the provider once more, as a user's command does."""
        installs = arguments[0] == "init"
        settings = dict(self.environment)
        as_installed = self.folder / root / ".terraform" / AS_INSTALLED
        if not (verify or installs) and as_installed.is_file():
            settings["TF_CLI_CONFIG_FILE"] = str(as_installed)
        done = subprocess.run(
            ["terraform", f"-chdir={self.folder / root}", *arguments],
            env=settings,
            input=given,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"terraform {' '.join(arguments)} in {root}:\n{done.stdout}{done.stderr}")
        if installs:
            _write_as_installed(self.folder / root)
        return done

    def show(self, root: str, *plan: str) -> dict[str, Any]:
        """`terraform show -json` of a saved plan, or of the state."""
        document: dict[str, Any] = json.loads(self.run(root, "show", "-json", *plan).stdout)
        return document


def working_copy(folder: Path, *, endpoint: str | None = None, extra: Mapping[str, str] | None = None) -> Terraform:
    """A copy of `terraform/` and of what it reads beside itself, with `endpoint` as its AWS."""
    shutil.copytree(
        CHECKOUT / "terraform",
        folder / "terraform",
        ignore=shutil.ignore_patterns(".terraform", "policies", "fixtures", "__pycache__"),
    )
    for problem in (CHECKOUT / "bentos").glob("*/problem.yaml"):
        room = folder / "bentos" / problem.parent.name
        room.mkdir(parents=True)
        shutil.copy(problem, room)
    return Terraform(folder / "terraform", _settings(folder, endpoint, extra or {}))


def for_modules(copy: Terraform) -> Terraform:
    """The same copy for what has no provider of its own: modules, which pin no version, and roots that are not
    initialised. They take the one that `foundation` installs, where Terraform would install it for each of them."""
    copy.run("foundation", "init", "-backend=false", "-lockfile=readonly")
    as_installed = copy.folder / "foundation" / ".terraform" / AS_INSTALLED
    return replace(copy, environment={**copy.environment, "TF_CLI_CONFIG_FILE": str(as_installed)})


def bare(folder: Path, *, endpoint: str | None = None) -> Terraform:
    """Terraform on a folder that holds a configuration of its own."""
    return Terraform(folder, _settings(folder, endpoint, {}))


def point_at_moto(terraform: Terraform, root: str, endpoint: str, *, local_state: bool = False) -> None:
    """Write the override of one root: S3 by path, no instance metadata, and the upstream states from the same server.
    Everything else of the root is as committed. `local_state` keeps its state in its own folder instead of S3."""
    config = (terraform.folder / root / "backend.tf").read_text()
    assert 'backend "s3"' in config, f"{root} has no S3 back end to override"
    lines = [
        'provider "aws" {',
        "  s3_use_path_style           = true",
        "  skip_credentials_validation = true",
        "  skip_metadata_api_check     = true",
        "  max_retries                 = 4",
        "}",
    ]
    if local_state:
        lines += ["terraform {", '  backend "local" {}', "}"]
    for upstream in UPSTREAM[root]:
        lines += [
            f'data "terraform_remote_state" "{upstream}" {{',
            "  config = {",
            "    bucket                      = var.context.state_bucket",
            f'    key                         = "{upstream}.tfstate"',
            "    region                      = var.context.region",
            f'    endpoints                   = {{ s3 = "{endpoint}", iam = "{endpoint}", sts = "{endpoint}" }}',
            "    use_path_style              = true",
            "    skip_credentials_validation = true",
            "    skip_metadata_api_check     = true",
            "  }",
            "}",
        ]
    (terraform.folder / root / "offline_override.tf").write_text("\n".join(lines) + "\n")


def backend_arguments(environment: str, endpoint: str) -> Sequence[str]:
    """What `terraform init` is told about the S3 back end: the environment's own file, and the server's address."""
    return (
        f"-backend-config=../environments/{environment}/backend.hcl",
        f'-backend-config=endpoints={{s3="{endpoint}",iam="{endpoint}",sts="{endpoint}"}}',
        "-backend-config=use_path_style=true",
        "-backend-config=skip_credentials_validation=true",
        "-backend-config=skip_metadata_api_check=true",
    )


def values(environment: str, root: str) -> Sequence[str]:
    """The committed values of a root in an environment, as arguments."""
    folder = f"../environments/{environment}"
    return (f"-var-file={folder}/context.tfvars", f"-var-file={folder}/{root}.tfvars")


@contextmanager
def aws(account: str, log: Path) -> Iterator[str]:
    """A moto server for one account, as a process on a free loopback port. Yields its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.infra.aws_server", str(port), account],
            cwd=CHECKOUT,
            env=unmeasured.environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for_answer(server, f"{url}/moto-api/", log, START_SECONDS)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=60)


def _write_as_installed(root: Path) -> None:
    """Write the CLI configuration that takes the provider as it stands where a root has just installed it."""
    installed = next((root / ".terraform" / "providers").glob("*/hashicorp/aws/*/*"), None)
    configuration = root / ".terraform" / AS_INSTALLED
    if installed is not None and not configuration.exists():  # another command may be reading it
        override = f'dev_overrides {{ "hashicorp/aws" = {json.dumps(str(installed.resolve()))} }}'
        configuration.write_text(f"provider_installation {{\n  {override}\n}}\n")


def _settings(folder: Path, endpoint: str | None, extra: Mapping[str, str]) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TF_CLI_CONFIG_FILE": str(_write_cli_configuration(folder)),
        "TF_IN_AUTOMATION": "1",
        "TF_CLI_ARGS": "-no-color",
        "TF_INPUT": "0",
        "CHECKPOINT_DISABLE": "1",
        "GOGC": "400",  # a third less work for memory that is there: the provider's schema is large
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {}),
        **extra,
    }


@cache
def _cli_configuration() -> str | None:
    """The CLI configuration that finds the provider without a network: the one that `TF_CLI_CONFIG_FILE` names, else
    what `../shared/terraform-offline` prints on a host that has it."""
    named = Path(os.environ.get("TF_CLI_CONFIG_FILE", ""))
    if named.is_file():
        return named.read_text()
    offline = CHECKOUT.parent / "shared" / "terraform-offline"
    if not offline.is_file():
        return None
    for _ in range(5):  # it searches the whole disk, and fails where a folder vanishes under it
        done = subprocess.run([str(offline)], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
    return None


def _write_cli_configuration(folder: Path) -> Path:
    path = folder / "terraform.rc"
    path.write_text(_cli_configuration() or "")
    return path
