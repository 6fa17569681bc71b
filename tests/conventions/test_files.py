"""What holds for every committed file: what it may not contain, how it is named, how long it may be."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

LONGEST = 400
LONGEST_TEST = 450
VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "misc", "common_utils", "shared", "lib"}
FORBIDDEN = {
    "a package registry's address": re.compile(
        r"pypi\.org|pythonhosted\.org|proxy\.golang\.org|registry\.npmjs\.org|deb\.debian\.org|static\.crates\.io"
        r"|repo1?\.maven\.org|--(?:extra-)?index-url[ =]|--find-links"
    ),
    "a path of one machine": re.compile(r"(?<![\w.$}/-])/(?:home|Users)/(?!bentoml\b)\w|(?<![\w.$}/-])/(?:root|work)/"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "a cloud or forge token": re.compile(r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|github_pat_\w{22}|xox[abp]-\w{10})"),
    "a password in an address": re.compile(r"://[^\s/:@{}$<>]+:[^\s/@{}$<>]+@(?!127\.0\.0\.1\b|localhost\b)"),
}


def committed(checkout: Path, pattern: str = "*") -> list[Path]:
    """The files that git holds, or would with the next `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", pattern],
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := checkout / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_committed_file_holds(what: str, checkout: Path) -> None:
    """No file holds what binds it to one machine or opens something to whoever reads it."""
    found = []
    for path in committed(checkout):
        if path == Path(__file__) or path.suffix == ".ndjson":
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if FORBIDDEN[what].search(line):
                found.append(f"{path.relative_to(checkout)}:{number}: {line.strip()[:120]}")
    assert not found, f"{what}:\n" + "\n".join(found)


def test_the_guard_against_machine_paths_and_registries_can_fail() -> None:
    """The patterns above match what they are meant to match."""
    assert FORBIDDEN["a path of one machine"].search("cache = '/home/ada/cache'")
    assert FORBIDDEN["a path of one machine"].search("cd /" + "work/main")
    assert not FORBIDDEN["a path of one machine"].search("COPY . /home/bentoml/bento")
    assert FORBIDDEN["a package registry's address"].search("--index-url https://example.com")
    assert FORBIDDEN["a password in an address"].search("postgresql://mlflow:hunter2@db/mlflow")
    assert not FORBIDDEN["a password in an address"].search("postgresql://${USER}:${PASSWORD}@db/mlflow")


def test_the_lock_pins_every_package_with_hashes(checkout: Path) -> None:
    """Each package of requirements.lock stands there with one version and at least one hash."""
    entries = re.split(r"\n(?=\S)", (checkout / "requirements.lock").read_text())
    loose = [entry.splitlines()[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]
    assert not loose


def test_every_direct_dependency_is_in_the_lock(checkout: Path) -> None:
    """requirements.lock was resolved from requirements.in as it stands: `make lock` after every change."""
    locked = dict(
        re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", (checkout / "requirements.lock").read_text(), re.MULTILINE)
    )
    stale = []
    for line in (checkout / "requirements.in").read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[a-z0-9,]+\])?(?:==(\S+))?", line)
        if match and not line.startswith("#"):
            name = re.sub(r"[._]", "-", match[1].lower())
            if name not in locked or (match[2] and match[2] != locked[name]):
                stale.append(line)
    assert not stale


def python_faults(checkout: Path, fault: Callable[[Path, str], str | None]) -> list[str]:
    return [
        f"{path.relative_to(checkout)}: {reason}"
        for path in committed(checkout, "*.py")
        if (reason := fault(path, path.read_text()))
    ]


def test_every_module_says_what_it_holds(checkout: Path) -> None:
    """Each module has a docstring; a package's empty `__init__.py` needs none."""
    assert not python_faults(
        checkout, lambda _, text: "no docstring" if text.strip() and not ast.get_docstring(ast.parse(text)) else None
    )


def test_every_module_fits_on_a_few_screens(checkout: Path) -> None:
    """A file that outgrows this holds two things and wants to be two files."""

    def too_long(path: Path, text: str) -> str | None:
        allowed = LONGEST_TEST if path.is_relative_to(checkout / "tests") else LONGEST
        lines = text.count("\n")
        return f"{lines} lines, {allowed} allowed" if lines > allowed else None

    assert not python_faults(checkout, too_long)


def test_no_module_has_a_name_that_says_nothing(checkout: Path) -> None:
    """A module is named by the thing it holds."""
    assert not python_faults(
        checkout, lambda path, _: "vague name" if VAGUE & {path.stem, *path.relative_to(checkout).parts} else None
    )


def test_every_relative_link_in_the_documentation_leads_somewhere(checkout: Path) -> None:
    """A link to a file of the checkout names one that is there."""
    broken = []
    for page in committed(checkout, "*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(checkout)} → {target}")
    assert not broken


def test_every_page_of_the_documentation_can_be_reached(checkout: Path) -> None:
    """Each page under docs/ is linked from docs/README.md or from the index of its own folder."""
    indexes = [checkout / "docs" / name / "README.md" for name in (".", "decisions", "tutorial")]
    linked = {
        (index.parent / target).resolve()
        for index in indexes
        for target in re.findall(r"\]\(([^)#\s]+\.md)", index.read_text())
    }
    pages = set((checkout / "docs").rglob("*.md")) - {indexes[0]}
    assert not [str(page.relative_to(checkout)) for page in sorted(pages) if page.resolve() not in linked]
