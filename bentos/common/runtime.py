"""Which modules of ours, and which libraries, a room's service needs at run time, read from its imports.

So a bento holds these and nothing else, and a room that would pull a training library into its service is told so.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bakehouse.errors import ConfigurationError

OURS = ("bakehouse", "bentos")
LIBRARIES = {
    "_bentoml_impl": "bentoml",
    "attrs": "attrs",
    "bentoml": "bentoml",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "prometheus_client": "prometheus-client",
    "pydantic": "pydantic",
    "pydantic_core": "pydantic-core",
    "starlette": "starlette",
}
"""What a service may import, and the distribution that holds it."""
NEVER_IMPORTED = ("uvloop", "httptools")
"""What uvicorn takes up where it is installed: BentoML alone brings asyncio and h11, at half the speed."""
STARTED = (Path("bentos/common/serve.py"), Path("bentos/common/smoke.py"))
"""What a bento's image is started with: to answer, and to ask whether it does."""
SHIPPER = Path("bentos/common/ship.py")
"""And what it is started with to ship the logs: a process of its own, so its libraries are none of the service's."""
SHIPPER_LIBRARIES = {**LIBRARIES, "boto3": "boto3", "botocore": "botocore"}


@dataclass(frozen=True)
class Runtime:
    """`modules` are files relative to the checkout; `distributions` every installed library they need, by name."""

    modules: tuple[Path, ...]
    distributions: tuple[Distribution, ...]


def runtime(service: Path, root: Path) -> Runtime:
    """What the service module `service` needs, in the checkout at `root`.

    Raises `ConfigurationError` where it imports a library that a service may not, or one that isn't installed.
    """
    modules = reached([service, *STARTED], root, LIBRARIES, "which a service may not.", "A service may import")
    shipper = reached([SHIPPER], root, SHIPPER_LIBRARIES, "which ships no log.", "What ships logs may import")
    names = (*SHIPPER_LIBRARIES.values(), *NEVER_IMPORTED)
    return Runtime(tuple(sorted({*modules, *shipper})), tuple(_closure(names)))


def reached(
    starts: Sequence[Path],
    root: Path,
    libraries: Collection[str],
    refusal: str,
    hint: str,
    replaced: Collection[Path] = (),
) -> tuple[Path, ...]:
    """The modules of ours that `starts` need, themselves among them, without what only the `replaced` ones need.

    Raises `ConfigurationError` where one imports what is neither ours, nor Python's, nor one of `libraries`.
    """
    waiting = list(starts)
    modules = set(waiting)
    while waiting:
        module = waiting.pop()
        if module in replaced:
            continue
        for name in _imports(root / module):
            package = name.partition(".")[0]
            if package in OURS:
                found = set(_files(name, root)) - modules
                modules |= found
                waiting.extend(found)
            elif package not in libraries and package not in sys.stdlib_module_names:
                raise ConfigurationError(
                    f"{module} imports {name}, {refusal}", f"{hint}: {', '.join(sorted(libraries))}."
                )
    return tuple(sorted(modules))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # What is imported may be a module or a name in one; only a module has a file.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _files(name: str, root: Path) -> Iterator[Path]:
    """The file of the module `name` and those of the packages above it; the last part may be a name in a module."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = Path(*parts[:length])
        if (root / path / "__init__.py").is_file():
            yield path / "__init__.py"
        elif (root / path.with_suffix(".py")).is_file():
            yield path.with_suffix(".py")


def _closure(names: tuple[str, ...]) -> list[Distribution]:
    found: dict[str, Distribution] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(name, frozenset()) for name in names]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError as error:
            raise ConfigurationError(f"The library {name} is not installed.", "Run `make setup`.") from error
        for line in found[name].requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (extras or {""})):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return [found[name] for name in sorted(found)]
