"""Answers with the model of the edge package that this file lies in. Needs Python, numpy and onnxruntime, nothing else.

    python run.py < request.json            one document, or a list of them; the answer is JSON
    python run.py --check                   compare every file of the package with its manifest

From Python: `Model().answer(document)`. Exit code 1 is a request that the contract refuses, with its problems as JSON
on standard error; 2 is a package that is not whole.

What answers is the code that the service runs, in the folder `code`: contract, features and prediction are byte for
byte those of the bento. Only pydantic and the server have something smaller in their place.
"""

from __future__ import annotations

import argparse
import builtins
import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
MANIFEST, IDENTITY, GRAPH, RELEASE = "manifest.json", "model.json", "model.onnx", "release.json"
PAGE = "page/"


class PackageError(Exception):
    """The package is not whole."""


class RefusedError(Exception):
    """A request that can't be answered. `problems` names field, reason, and what is allowed where that is known."""

    def __init__(self, problems: Sequence[dict[str, str]], more: int = 0) -> None:
        super().__init__("; ".join(f"{problem['field']}: {problem['reason']}" for problem in problems))
        self.problems = list(problems)
        self.more = more


class Model:
    """The model of a package, loaded and checked. Raises `PackageError`."""

    def __init__(self, folder: Path = HERE) -> None:
        check(folder, page=False)
        identity = _read(folder / IDENTITY)
        self.name, self.version = str(identity["model"]), int(identity["model_version"])
        code = Code(folder / "code")
        self._refused = code.module("bentos.common.predictor").RefusedError
        graph = code.module("bentos.common.session").OnnxModel(folder / GRAPH, identity["model_digest"])
        self._pipeline = code.module("bentos.common.predictor").Pipeline(room(code, self.name), graph, self.version)

    def answer(self, document: Any) -> Any:
        """The answer to one document, or to a list of them, as the service gives it. Raises `RefusedError`."""
        return json.loads(self.answer_json(json.dumps(document).encode()))

    def answer_json(self, body: bytes) -> bytes:
        """The same from JSON to JSON."""
        try:
            answer: bytes = self._pipeline.predict(body).body
        except self._refused as error:
            raise RefusedError(error.problems, error.more) from None
        return answer


def check(folder: Path = HERE, *, page: bool = True) -> None:
    """Compare the files of a package with its manifest, and its graph with its release. Raises `PackageError`."""
    faults = []
    for name, expected in _read(folder / MANIFEST)["files"].items():
        if page or not name.startswith(PAGE):
            try:
                found = "sha256:" + hashlib.sha256((folder / name).read_bytes()).hexdigest()
            except OSError:
                faults.append(f"{name} is missing")
                continue
            if found != expected:
                faults.append(f"{name} was changed")
    strange = {path.relative_to(folder).as_posix() for path in (folder / "code").rglob("*.py")}
    faults += [f"{name} is of another package" for name in sorted(strange - set(_read(folder / MANIFEST)["files"]))]
    if (folder / RELEASE).is_file():
        released, held = _read(folder / RELEASE), _read(folder / IDENTITY)
        faults += [
            f"{RELEASE} says another {field} than {IDENTITY}"
            for field in ("model", "model_version", "model_digest")
            if released.get(field) != held.get(field)
        ]
    if faults:
        raise PackageError(f"This package is not whole: {'; '.join(faults)}. Write it again with `bakehouse edge`.")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise PackageError(f"{path.name} can't be read: {error}. Write it again with `bakehouse edge`.") from error


def room(code: Code, name: str) -> Any:
    """The room's predictor: the one class of its service that has all that answering needs."""
    module = code.module(f"bentos.{name}.service")
    base = code.module("bentos.common.predictor").Predictor
    found = [it for it in vars(module).values() if isinstance(it, type) and issubclass(it, base) and it is not base]
    return found[0]()


class Code(MetaPathFinder):
    """The package's own modules, under names that nobody else has: two packages, or a package and a real pydantic, live
    in one process without knowing of each other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = f"_edge_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
        self._own = {path.stem for path in folder.iterdir()}
        if self._prefix not in sys.modules:
            root = ModuleType(self._prefix)
            root.__path__ = [str(folder)]
            sys.modules[self._prefix] = root
            sys.meta_path.insert(0, self)

    def module(self, name: str) -> Any:
        """One of its modules, by the name that its own code has for it."""
        return importlib.import_module(f"{self._prefix}.{name}")

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Where a module of the package is."""
        prefix, _, name = fullname.partition(".")
        place = self._folder.joinpath(*name.split("."))
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if prefix != self._prefix or not file.is_file():
            return None
        inner = [str(place)] if place.is_dir() else None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=_Loader(fullname, str(file), self), submodule_search_locations=inner
        )

    def imported(self, name: str, names: Any = None, here: Any = None, wanted: Any = (), level: int = 0) -> ModuleType:
        """What stands for `import` in the package's modules."""
        first = name.partition(".")[0]
        if level or first not in self._own:
            return builtins.__import__(name, names, here, wanted, level)
        module = importlib.import_module(f"{self._prefix}.{name}")
        if not wanted:
            return sys.modules[f"{self._prefix}.{first}"]
        for each in self._submodules(module, wanted):
            importlib.import_module(each)
        return module

    def _submodules(self, module: ModuleType, wanted: Sequence[str]) -> Iterator[str]:
        for name in wanted:
            if not hasattr(module, name) and self.find_spec(f"{module.__name__}.{name}") is not None:
                yield f"{module.__name__}.{name}"


class _Loader(SourceFileLoader):
    """Runs what was checked, and never bytecode that lies about."""

    def __init__(self, name: str, path: str, code: Code) -> None:
        super().__init__(name, path)
        self._code = code

    def path_stats(self, path: Any) -> Any:
        """Unknown: so nothing compiled is read or written."""
        raise OSError

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's source with the package's own `import`."""
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": self._code.imported}
        super().exec_module(module)


def main() -> int:
    """Answer what stands on standard input."""
    parser = argparse.ArgumentParser(description="Answer one JSON document, or a list of them, with this model.")
    parser.add_argument("file", nargs="?", type=Path, help="the request [default: standard input]")
    parser.add_argument("--check", action="store_true", help="compare every file with the manifest, and answer nothing")
    given = parser.parse_args()
    try:
        if given.check:
            check()
            return 0
        model = Model()
        body = given.file.read_bytes() if given.file else sys.stdin.buffer.read()
        sys.stdout.write(model.answer_json(body).decode() + "\n")
    except RefusedError as error:
        more = {"more_problems": error.more} if error.more else {}
        sys.stderr.write(json.dumps({"problems": error.problems, **more}, ensure_ascii=False) + "\n")
        return 1
    except (PackageError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
