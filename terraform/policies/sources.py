"""The Terraform sources, read by python-hcl2: roots and modules, their blocks, and what a name in them stands for.

Resolves what one folder alone decides (locals, defaults of variables). Judges nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import hcl2

_OPTIONS = hcl2.SerializationOptions(
    strip_string_quotes=True, explicit_blocks=False, with_comments=False, preserve_heredocs=False
)
_NAME = re.compile(r"\$\{\s*(local|var)\.([A-Za-z_][\w-]*)\s*\}")


class _Unresolved:
    """An expression that the folder alone does not decide. There is one, `UNRESOLVED`."""

    def __repr__(self) -> str:
        return "UNRESOLVED"


UNRESOLVED = _Unresolved()


@dataclass(frozen=True)
class Block:
    """One labelled block: a variable, an output, a resource (`type.name`), a module call, a provider."""

    file: str
    label: str
    body: Mapping[str, Any]

    @property
    def subject(self) -> str:
        return f"{self.file}: {self.label}"


@dataclass(frozen=True)
class Folder:
    """A root or a module: all `.tf` files of one folder."""

    name: str
    is_root: bool
    texts: Mapping[str, str] = field(repr=False)

    @cached_property
    def documents(self) -> dict[str, dict[str, Any]]:
        """Each file as a document. Raises what python-hcl2 raises for a file that is not HCL."""
        return {
            file: hcl2.loads(text if text.endswith("\n") else f"{text}\n", serialization_options=_OPTIONS)
            for file, text in self.texts.items()
        }

    def blocks(self, kind: str) -> Iterator[Block]:
        """The blocks of a kind with one label: variable, output, module, provider."""
        for file, document in self.documents.items():
            for item in document.get(kind, ()):
                for label, body in item.items():
                    yield Block(f"{self.name}/{file}", f"{kind} {label}", body)

    def resources(self, kind: str = "resource") -> Iterator[Block]:
        """The resources, or the data sources, as `type.name`."""
        for file, document in self.documents.items():
            for item in document.get(kind, ()):
                for type_, named in item.items():
                    for name, body in named.items():
                        yield Block(f"{self.name}/{file}", f"{type_}.{name}", body)

    def settings(self) -> Iterator[Block]:
        """The `terraform` blocks."""
        for file, document in self.documents.items():
            for body in document.get("terraform", ()):
                yield Block(f"{self.name}/{file}", "terraform", body)

    @cached_property
    def locals(self) -> dict[str, Any]:
        """All locals by name, as written."""
        return {
            name: value
            for document in self.documents.values()
            for body in document.get("locals", ())
            for name, value in body.items()
        }

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The defaults of the variables that have one."""
        return {
            block.label.removeprefix("variable "): block.body["default"]
            for block in self.blocks("variable")
            if "default" in block.body
        }

    def resolve(self, value: Any, depth: int = 8) -> Any:
        """What a value stands for where locals and defaults say it, item by item, else `UNRESOLVED`."""
        if depth == 0:
            return UNRESOLVED
        if isinstance(value, list):
            return [self.resolve(item, depth - 1) for item in value]
        if isinstance(value, Mapping):
            return {key: self.resolve(item, depth - 1) for key, item in value.items()}
        if not isinstance(value, str) or "${" not in value.replace("$${", ""):
            return value
        match = _NAME.fullmatch(value)
        if match:
            names = self.locals if match.group(1) == "local" else self.defaults
            return self.resolve(names[match.group(2)], depth - 1) if match.group(2) in names else UNRESOLVED
        return UNRESOLVED


@dataclass(frozen=True)
class Sources:
    """All roots and modules."""

    folders: tuple[Folder, ...]

    @property
    def roots(self) -> tuple[Folder, ...]:
        return tuple(folder for folder in self.folders if folder.is_root)


def read_sources(terraform: Path) -> Sources:
    """Read `terraform/`: every folder in it with `.tf` files is a root, every one in `modules/` a module."""
    folders = [
        Folder(
            f"modules/{path.name}" if path.parent.name == "modules" else path.name,
            path.parent.name != "modules",
            {file.name: file.read_text() for file in sorted(path.glob("*.tf"))},
        )
        for path in sorted([*terraform.iterdir(), *(terraform / "modules").glob("*")])
        if path.is_dir() and any(path.glob("*.tf"))
    ]
    return Sources(tuple(folders))


def walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value in a body with the keys that lead to it, blocks and dynamic blocks included."""
    yield path, value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from walk(item, (*path, str(key)))
    elif isinstance(value, list):
        for item in value:
            yield from walk(item, path)
