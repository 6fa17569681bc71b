"""The tutorial, done as a beginner does it: every ```bash block of its pages, one after the other in one shell.

What a page shows below a block, in ```text, is what the block must print: these lines in this order, where `…` stands
for anything and spaces count as one. A block marked `refused` must fail, every other one must not.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml

from tests.checkout_copy import copy_checkout
from tests.loopback import free_port

PAGES = "docs/tutorial"
SETUP = "make setup\n. .venv/bin/activate"
"""The tutorial's first block: what stands for it here is an environment that is there already."""
PATIENCE_SECONDS = 900
_FENCE = re.compile(r"^```(?P<kind>bash|bash refused|text)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Block:
    """Commands of a page, whether they are to fail, and the lines that they are to show."""

    page: str
    commands: str
    refused: bool
    shown: tuple[str, ...]


def blocks(folder: Path) -> list[Block]:
    """All of them, in the order of the pages: the README first."""
    found: list[Block] = []
    for page in [folder / "README.md", *sorted(folder.glob("[0-9]*.md"))]:
        for fence in _FENCE.finditer(page.read_text(encoding="utf-8")):
            if fence["kind"] == "text":
                last = found.pop()
                assert not last.shown, f"{page.name} shows two outputs of one block"
                found.append(Block(last.page, last.commands, last.refused, tuple(fence["body"].splitlines())))
            else:
                found.append(Block(page.name, fence["body"].strip(), fence["kind"] == "bash refused", ()))
    return found


@pytest.fixture
def beginner(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh checkout whose state is inside it, with ports that nobody uses."""
    root = copy_checkout(checkout, tmp_path / "checkout", monkeypatch)
    settings = root / "environments/local/delivery.yaml"
    document = yaml.safe_load(settings.read_text())
    document["environments"] = {name: {"port": free_port()} for name in document["environments"]}
    settings.write_text(yaml.safe_dump(document))
    identity = ["-c", "user.name=Beginner", "-c", "user.email=beginner@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "A checkout"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    monkeypatch.delenv("BAKEHOUSE_STATE")
    return root


@pytest.mark.long
def test_a_beginner_who_types_what_the_tutorial_says_sees_what_it_shows(
    beginner: Path, checkout: Path, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    setup, *rest = blocks(beginner / PAGES)
    assert setup.commands == SETUP
    outputs, codes = typed(rest, beginner, checkout, tmp_path)
    for place, block in enumerate(rest):
        assert place in codes, f"{block.page}: the shell ended in\n{block.commands}\n{outputs.get(place, '')}"
        assert (codes[place] != 0) == block.refused, f"{block.page}: {block.commands}\n{outputs[place]}"
        missing = first_not_shown(block.shown, outputs[place])
        assert missing is None, f"{block.page}: {block.commands}\ndoes not show: {missing}\nbut:\n{outputs[place]}"
    assert left_running(beginner) == []


def test_what_a_page_does_not_show_truly_is_found() -> None:
    """The comparison itself: order and every line count, spaces and what `…` stands for do not."""
    output = "one   two\nthree (commit 1a2b)\nfour\n"
    assert first_not_shown(("one two", "three (commit …)"), output) is None
    assert first_not_shown(("three …", "one two"), output) == "one two"
    assert first_not_shown(("fou",), output) == "fou"


def typed(typing: list[Block], folder: Path, checkout: Path, tmp_path: Path) -> tuple[dict[int, str], dict[int, int]]:
    """What each block printed, and the exit code of its last command, all in one shell of its own process group."""
    configured = yaml.safe_load((checkout / "environments/local/delivery.yaml").read_text())["environments"]
    chosen = yaml.safe_load((folder / "environments/local/delivery.yaml").read_text())["environments"]
    script = ['eval "$(./run.sh env)"']
    for place, block in enumerate(typing):
        commands = block.commands
        for name, environment in configured.items():
            commands = commands.replace(f"127.0.0.1:{environment['port']}/", f"127.0.0.1:{chosen[name]['port']}/")
        script += [f"echo; echo '@@ begin {place}'", commands, f"code=$?; echo; echo '@@ end {place}' $code"]
    (tmp_path / "tutorial.sh").write_text("\n".join(script) + "\n", encoding="utf-8")
    log = tmp_path / "tutorial.log"
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", str(tmp_path / "tutorial.sh")],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "NO_COLOR": "1"},
        )
        try:
            shell.wait(PATIENCE_SECONDS)
        finally:
            if shell.poll() is None:
                parent = psutil.Process(shell.pid)
                for process in [*parent.children(recursive=True), parent]:
                    process.kill()
    said = _COLOUR.sub("", log.read_text(encoding="utf-8", errors="replace"))
    outputs: dict[int, str] = {}
    codes: dict[int, int] = {}
    for place in range(len(typing)):
        between = rf"^@@ begin {place}\n(.*?)(?:^@@ end {place} (\d+)$|\Z)"
        if found := re.search(between, said, re.MULTILINE | re.DOTALL):
            outputs[place] = found[1]
            if found[2] is not None:
                codes[place] = int(found[2])
    return outputs, codes


def first_not_shown(wanted: tuple[str, ...], output: str) -> str | None:
    """The first of the lines that the output does not have, after those before it; None where it has them all."""
    printed = iter(" ".join(line.split()) for line in output.splitlines())
    for line in wanted:
        pattern = re.compile(".*".join(re.escape(part) for part in " ".join(line.split()).split("…")))
        if not any(pattern.fullmatch(candidate) for candidate in printed):
            return line
    return None


def left_running(folder: Path) -> list[list[str]]:
    """The commands of processes that work in this folder."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if (process.info["cwd"] or "").startswith(str(folder)):
            found.append(process.info["cmdline"])
    return found
