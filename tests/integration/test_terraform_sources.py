"""The Terraform as it is written: formatted, valid, the same where it must be, and tried module by module."""

from __future__ import annotations

import filecmp
import json
import re
import shutil
from pathlib import Path

import pytest

from terraform.policies.settings import environments
from tests.infra import offline

TERRAFORM = offline.CHECKOUT / "terraform"
MODULES = sorted(path.name for path in (TERRAFORM / "modules").iterdir())
# Files that version 5.100.0 of the provider was published with: archives of 14 platforms and a manifest.
PUBLISHED = 15

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(offline.reason_to_skip() is not None, reason=offline.reason_to_skip() or ""),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> offline.Terraform:
    """A working copy without an AWS behind it."""
    return offline.working_copy(tmp_path_factory.mktemp("terraform"))


@pytest.fixture(scope="module")
def modules(copy: offline.Terraform) -> offline.Terraform:
    """The same, with the provider that foundation's lock file names installed for all."""
    return offline.for_modules(copy)


def test_every_file_is_formatted(copy: offline.Terraform) -> None:
    copy.run(".", "fmt", "-check", "-recursive", "-diff")


@pytest.mark.parametrize("root", offline.ROOTS)
def test_every_root_is_valid_with_the_provider_that_all_their_lock_files_name(
    root: str, modules: offline.Terraform
) -> None:
    modules.run(root, "get")
    modules.run(root, "validate")


def test_every_root_locks_the_same_provider_for_every_platform_that_it_is_published_for() -> None:
    """`zh` is the checksum of one platform's archive, as the registry names it; `h1` of what is in one platform's, as a
    mirror has it unpacked. With the host's own `h1` alone, nobody on another platform could install the provider."""
    locks = {root: (TERRAFORM / root / ".terraform.lock.hcl").read_text() for root in offline.ROOTS}
    assert [root for root, text in locks.items() if text != locks["foundation"]] == []
    assert len(re.findall(r'^    "h1:[A-Za-z0-9+/]{43}=",$', locks["foundation"], re.M)) >= 1
    archives = set(re.findall(r'^    "zh:([0-9a-f]{64})",$', locks["foundation"], re.M))
    assert len(archives) == PUBLISHED, "an archive for each platform, and the manifest"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_makes_what_it_promises_and_refuses_what_it_must(module: str, modules: offline.Terraform) -> None:
    modules.run(f"modules/{module}", "get", "-test-directory=tests")
    done = modules.run(f"modules/{module}", "test")
    assert re.search(r"Success! [1-9][0-9]* passed, 0 failed", done.stdout), done.stdout


def test_every_root_shares_its_context_byte_for_byte() -> None:
    first = TERRAFORM / "foundation" / "context.tf"
    assert [
        root for root in offline.ROOTS if not filecmp.cmp(first, TERRAFORM / root / "context.tf", shallow=False)
    ] == []


def test_every_root_reads_the_states_that_the_tests_believe_it_reads() -> None:
    for root in offline.ROOTS:
        upstream = TERRAFORM / root / "upstream.tf"
        named = (
            re.findall(r'^data "terraform_remote_state" "(\w+)"', upstream.read_text(), re.M)
            if upstream.is_file()
            else []
        )
        assert tuple(named) == offline.UPSTREAM[root], root


def test_an_environment_is_its_values_and_nothing_else() -> None:
    wanted = {"backend.hcl", "context.tfvars", *(f"{root}.tfvars" for root in offline.ROOTS)}
    assert environments() == set(offline.ENVIRONMENTS)
    for name in environments():
        found = {path.name for path in (TERRAFORM / "environments" / name).iterdir()}
        assert found == wanted, name


def test_no_root_or_module_names_an_environment() -> None:
    named = re.compile(r"\b(" + "|".join(environments()) + r")\b")
    for path in sorted(TERRAFORM.rglob("*.tf")):
        code = "\n".join(line.partition("#")[0] for line in path.read_text().splitlines())
        code = re.sub(r"(description|error_message)\s*=.*", "", code)
        assert not named.search(code), f"{path}: {named.search(code)}"


def test_the_models_that_get_repositories_and_roles_are_the_rooms(copy: offline.Terraform) -> None:
    """No value lists a model: Terraform itself finds the rooms, and no folder beside them."""
    (copy.folder / "storage" / "offline_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    (copy.folder.parent / "bentos" / "common").mkdir(exist_ok=True)
    copy.run("storage", "init", "-reconfigure")
    asked = "jsonencode(module.rooms.models)\n"
    found = copy.run("storage", "console", *offline.values("staging", "storage"), given=asked)
    served = {path.parent.name for path in (offline.CHECKOUT / "bentos").glob("*/service.py")} - {"common"}
    assert set(json.loads(json.loads(found.stdout))) == served


def test_a_root_refuses_an_environment_that_is_misspelt(copy: offline.Terraform, tmp_path: Path) -> None:
    root = copy.folder / "bootstrap"
    (root / "offline_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    wrong = tmp_path / "context.tfvars"
    text = (TERRAFORM / "environments" / "staging" / "context.tfvars").read_text()
    wrong.write_text(text.replace('"111111111111"', '"11111111111"', 1))
    shutil.rmtree(root / ".terraform", ignore_errors=True)
    copy.run("bootstrap", "init")
    refused = copy.run("bootstrap", "plan", f"-var-file={wrong}", "-var=access_log_days=180", check=False)
    assert refused.returncode == 1
    assert "context.account_id must be twelve digits" in refused.stderr
