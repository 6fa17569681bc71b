"""The rules of the house that imports alone can't say: what a room, a step and a pipeline may hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOM = {"problem.yaml", "contract.py", "features.py", "checks.py", "estimator.py", "service.py", "run.yaml", "card.md"}
OPTIONAL = {"feature_store"}
"""Parts that a room may have: definitions of a feature store, from which it learns and answers."""
PACKAGES = ("bakehouse", "bentos", "commands", "gitops", "pipelines", "steps")
MODEL_BLIND = ("bakehouse", "bentos/common", "commands", "gitops", "pipelines", "steps")


def rooms(checkout: Path) -> list[Path]:
    return sorted(path.parent for path in (checkout / "bentos").glob("*/problem.yaml"))


def modules(checkout: Path, *folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        for path in sorted((checkout / folder).rglob("*.py")):
            yield str(path.relative_to(checkout)), ast.parse(path.read_text())


def docstrings(tree: ast.Module) -> set[ast.AST]:
    """Strings that stand alone: docstrings of modules, classes, functions and attributes."""
    return {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def test_a_room_holds_the_files_of_a_room_and_no_others(checkout: Path) -> None:
    """Every room has the same files, and parts from one list, so whoever knows one knows all."""
    assert rooms(checkout)
    for room in rooms(checkout):
        present = {path.name for path in room.iterdir() if path.name not in {"__init__.py", "__pycache__"}}
        assert present - OPTIONAL == ROOM, f"{room.name}: {(present - OPTIONAL) ^ ROOM}"


def test_only_a_room_knows_its_model_by_name(checkout: Path) -> None:
    """To add a model is to add a folder: nothing that serves all models names one."""
    names = re.compile(rf"\b({'|'.join(room.name for room in rooms(checkout))})\b")
    named = []
    for path, tree in modules(checkout, *MODEL_BLIND):
        prose = docstrings(tree)
        for node in ast.walk(tree):
            text = ""
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
                text = node.value
            elif isinstance(node, ast.ImportFrom):
                text = f"{node.module} {' '.join(alias.name for alias in node.names)}".replace("_", " ")
            elif isinstance(node, ast.Import):
                text = " ".join(alias.name for alias in node.names)
            if names.search(text):
                named.append(f"{path}:{getattr(node, 'lineno', 0)}: {text[:80]}")
    assert not named


def test_no_code_knows_an_environment_by_name(checkout: Path) -> None:
    """What differs between environments is data in their folders; prose may name one."""
    environments = {path.parent.name for path in (checkout / "environments").glob("*/settings")}
    assert {"staging", "production"} <= environments
    named = []
    for path, tree in modules(checkout, *PACKAGES):
        prose = docstrings(tree)
        named += [
            f"{path}:{node.lineno}: {node.value[:80]}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node not in prose
            and environments & set(re.split(r"\W+", node.value))
        ]
    assert not named


def decorator_names(function: ast.FunctionDef) -> set[str]:
    calls = (node.func if isinstance(node, ast.Call) else node for node in function.decorator_list)
    return {node.id for node in calls if isinstance(node, ast.Name)}


def test_a_step_stands_alone_in_the_file_that_its_verb_names(checkout: Path) -> None:
    """`steps/train.py` holds the step `train` and no second one."""
    found = 0
    for path, tree in modules(checkout, "steps"):
        steps = [
            node.name for node in tree.body if isinstance(node, ast.FunctionDef) and "step" in decorator_names(node)
        ]
        assert steps in ([], [Path(path).stem]), path
        found += len(steps)
    assert found > 0


WIRING = (
    ast.FunctionDef, ast.arguments, ast.arg, ast.Expr, ast.Assign, ast.Call, ast.keyword, ast.Name, ast.Attribute,
    ast.Constant, ast.Tuple, ast.List, ast.Load, ast.Store, ast.Starred, ast.Subscript,
)  # fmt: skip


def test_a_pipeline_computes_nothing(checkout: Path) -> None:
    """A pipeline file holds imports and functions that call steps and pass one's outputs to the next: no loop, no
    condition."""
    found = 0
    for path, tree in modules(checkout, "pipelines"):
        if Path(path).stem in {"__init__", "strict"}:
            continue
        steps: set[str] = set()
        for statement in tree.body:
            if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith("steps."):
                steps |= {alias.asname or alias.name for alias in statement.names}
            if isinstance(statement, ast.Import | ast.ImportFrom):
                continue
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue
            assert isinstance(statement, ast.FunctionDef), f"{path}:{statement.lineno} is not a pipeline"
            assert decorator_names(statement) & {"strict", "pipeline"}, f"{path}: {statement.name} is not a pipeline"
            for node in (inner for line in statement.body for inner in ast.walk(line)):
                assert isinstance(node, WIRING), (
                    f"{path}:{getattr(node, 'lineno', '?')} computes ({type(node).__name__})"
                )
                if isinstance(node, ast.Call):
                    assert isinstance(node.func, ast.Name) and node.func.id in steps, (
                        f"{path}:{node.lineno} calls what is no step"
                    )
            found += 1
    assert found > 0


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_imports_the_tools_or_the_tests(package: str, checkout: Path) -> None:
    """`tools` are for people's hands and `tests` for checking: no package stands on them."""
    for path, tree in modules(checkout, package):
        for node in ast.walk(tree):
            imported = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not {name.split(".")[0] for name in imported} & {"tools", "tests"}, path
