"""The workshop is documented, and what the documentation says can be typed."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer.main
import yaml

from commands.main import app
from tests.conventions.test_files import committed


def targets(checkout: Path) -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (checkout / "Makefile").read_text(), re.MULTILINE))


def verbs(checkout: Path) -> set[str]:
    return set(re.findall(r"^verb_([a-z-]+)\(\)", (checkout / "run.sh").read_text(), re.MULTILINE))


def typed_commands(page: Path) -> list[list[str]]:
    """The commands in a page's console blocks and in its inline code, split into words."""
    text = page.read_text()
    blocks = [block for language, block in fenced(text) if language in {"bash", "console", "sh"}]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`((?:make|bakehouse|\./run\.sh|zenml pipeline|python -m) [^`\n]+)`", text)
    return [words for line in lines if (words := shlex.split(line.strip().removeprefix("$ "), comments=True))]


def fenced(text: str) -> list[tuple[str, str]]:
    """The language and the content of each fenced block of a page."""
    return re.findall(r"^ *```([^`\n]*)\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


def bakehouse_commands() -> dict[str, Any]:
    """Every command of `bakehouse`, subcommands as `group command`."""
    found = {}

    def walk(command: Any, name: str) -> None:
        if hasattr(command, "commands"):
            for child, inner in command.commands.items():
                walk(inner, f"{name} {child}".strip())
        else:
            found[name] = command

    walk(typer.main.get_command(app), "")
    return found


def test_make_help_lists_every_target_with_what_it_does(checkout: Path) -> None:
    """`make help` is the whole list."""
    printed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=checkout, check=True, capture_output=True, text=True
    ).stdout
    described = dict(line.split(maxsplit=1) for line in printed.splitlines())
    assert set(described) == targets(checkout)


def test_the_makefile_only_names_verbs_that_run_sh_holds(checkout: Path) -> None:
    """Each target calls the verb of its own name and holds no logic."""
    for target in targets(checkout) - {"help"}:
        recipe = re.search(rf"^{target}:.*\n\t(.*)$", (checkout / "Makefile").read_text(), re.MULTILINE)
        assert recipe and recipe[1].startswith(f"@./run.sh {target}"), target
        assert target in verbs(checkout)


def test_run_sh_help_lists_every_verb(checkout: Path) -> None:
    """`./run.sh help` is the whole list."""
    printed = subprocess.run([checkout / "run.sh", "help"], check=True, capture_output=True, text=True).stdout
    assert {line.split()[0] for line in printed.splitlines() if line.startswith("  ")} == verbs(checkout)


def test_run_sh_names_an_unknown_verb(checkout: Path) -> None:
    """A mistyped verb fails and says where the list is."""
    run = subprocess.run([checkout / "run.sh", "bake"], check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "bake" in run.stderr
    assert "help" in run.stderr


def test_the_readme_documents_every_target(checkout: Path) -> None:
    """Every `make` target stands in the README."""
    readme = (checkout / "README.md").read_text()
    assert not [target for target in targets(checkout) if f"make {target}" not in readme]


@pytest.mark.parametrize("name", bakehouse_commands())
def test_every_bakehouse_command_and_option_has_help_and_stands_in_the_reference(name: str, checkout: Path) -> None:
    """docs/reference/commands.md has a section of each command that names its options; of `--json`, one says it for
    all."""
    reference = (checkout / "docs/reference/commands.md").read_text()
    command = bakehouse_commands()[name]
    assert (command.help or "").strip()
    (section,) = re.findall(rf"^### `bakehouse {name}[` ].*?(?=^##)", f"{reference}\n##", re.MULTILINE | re.DOTALL)
    for parameter in command.params:
        assert parameter.help
        options = [option for option in parameter.opts if option.startswith("--")]
        documented = reference if "--json" in options else section
        assert not options or any(re.search(rf"(?<![\w-]){it}(?![\w-])", documented) for it in options), options


def test_what_the_workflows_run_exists(checkout: Path) -> None:
    """Every make target, verb, `bakehouse` command with its options, and pipeline that a workflow runs is there."""
    commands = bakehouse_commands()
    wrong = []
    for name in workflow_files():
        text = (checkout / ".github/workflows" / name).read_text()
        for line in re.findall(
            r"^ *(?:- run: )?((?:make|bakehouse|\./run\.sh|zenml|python -m) .+)$", text, re.MULTILINE
        ):
            reason = _fault(shlex.split(re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", line.rstrip("\\"))), checkout, commands)
            if reason:
                wrong.append(f"{name}: {line}: {reason}")
    assert not wrong


def test_what_the_documentation_tells_to_type_exists(checkout: Path) -> None:
    """Every make target, verb, `bakehouse` command with its options, and pipeline that a page names is there."""
    commands = bakehouse_commands()
    wrong = []
    for page in committed(checkout, "*.md"):
        for words in typed_commands(page):
            reason = _fault(words, checkout, commands)
            if reason:
                wrong.append(f"{page.relative_to(checkout)}: {' '.join(words)}: {reason}")
    assert not wrong


def test_every_block_of_the_documentation_says_its_language(checkout: Path) -> None:
    """What is to be typed is marked so; else nothing would check it."""
    pages = {page: fenced(page.read_text()) for page in committed(checkout, "*.md")}
    assert not [str(page.relative_to(checkout)) for page, blocks in pages.items() for name, _ in blocks if not name]


def _fault(words: list[str], checkout: Path, commands: dict[str, Any]) -> str:
    program, arguments = words[0], words[1:]
    if program == "make" and arguments:
        return "" if arguments[0] in targets(checkout) else "no such target"
    if program == "./run.sh" and arguments:
        return "" if arguments[0] in verbs(checkout) else "no such verb"
    if program == "bakehouse" and arguments:
        if len(arguments) == 1 and any(name.startswith(f"{arguments[0]} ") for name in commands):
            return ""
        name = next((name for name in (" ".join(arguments[:2]), arguments[0]) if name in commands), None)
        if name is None:
            return "no such command"
        known = {option for parameter in commands[name].params for option in parameter.opts} | {"--help"}
        unknown = {word.split("=")[0] for word in arguments if word.startswith("--")} - known
        return f"no such option: {unknown}" if unknown else ""
    if words[:2] == ["python", "-m"] and len(words) > 2:
        name = words[2].replace(".", "/")
        found = any((checkout / file).is_file() for file in (f"{name}.py", f"{name}/__main__.py"))
        return "" if found or importlib.util.find_spec(words[2].split(".")[0]) else "no such module"
    if program == "curl":
        address = next(word for word in words if "://" in word)
        return "" if urlsplit(address).port in ports(checkout) else "nothing listens there"
    if words[:3] == ["zenml", "pipeline", "run"] and len(words) > 3:
        module = checkout / (words[3].rpartition(".")[0].replace(".", "/") + ".py")
        return "" if module.is_file() else "no such pipeline"
    return ""


def ports(checkout: Path) -> set[int]:
    """What `bakehouse deliver` listens on."""
    delivery = yaml.safe_load((checkout / "environments/local/delivery.yaml").read_text())
    return {environment["port"] for environment in delivery["environments"].values()}


def workflow_files() -> list[str]:
    folder = Path(__file__).resolve().parents[2] / ".github/workflows"
    return sorted(path.name for path in folder.glob("*.yml"))


@pytest.mark.parametrize("name", workflow_files())
def test_a_workflow_grants_nothing_by_default_and_ends(name: str, checkout: Path) -> None:
    """No permission at the top, each job names its own, and no job runs for ever."""
    workflow = yaml.safe_load((checkout / ".github/workflows" / name).read_text())
    assert workflow["permissions"] == {}
    assert "concurrency" in workflow
    for job in workflow["jobs"].values():
        assert "permissions" in job
        assert 0 < job["timeout-minutes"] <= 120


@pytest.mark.parametrize("name", workflow_files())
def test_a_workflow_pins_every_action_by_commit(name: str, checkout: Path) -> None:
    """An action is named by its commit, with its version beside it for whoever reads and updates it."""
    text = (checkout / ".github/workflows" / name).read_text()
    uses = re.findall(r"uses: *(.+)$", text, re.MULTILINE)
    assert not [use for use in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use.strip())]
