"""From a bento to an edge package: a folder that answers as the service does, with numpy and onnxruntime alone.

The code in it is the bento's own, as far as answering needs it; what it would need of pydantic and BentoML is replaced
by `bentos.common.edge.standins`. Which bento, and which release goes with it, is the caller's to say.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bakehouse import archives
from bakehouse.errors import ConfigurationError, DataError
from bentos.common.edge import run
from bentos.common.edge_page import try_page, write_page
from bentos.common.identity import Identity
from bentos.common.packaging import CARD_FILE
from bentos.common.runtime import reached

LIBRARIES = ("bentoml", "numpy", "onnxruntime", "pydantic", "pydantic_core")
"""What a room's code may import at the edge: two libraries, and three that something stands in for."""
_TEMPLATES = Path(run.__file__).parent
_COMMON = Path("bentos/common")
_STANDINS = {
    Path("bentoml.py"): "bentoml.py",
    Path("pydantic.py"): "pydantic.py",
    Path("pydantic_core.py"): "pydantic_core.py",
    _COMMON / "masking.py": "masking.py",
    _COMMON / "online_lookup.py": "online_lookup.py",
    _COMMON / "service.py": "service.py",
}
_BESIDE = ("edge/__init__.py", "edge/standins/__init__.py", "edge/standins/constraints.py")
"""What the stand-in for pydantic imports."""
_CONTRACT = """
import json, sys
from importlib import import_module
from pathlib import Path
contract = import_module(f"bentos.{sys.argv[1]}.contract")
found = {"request": contract.Request.model_json_schema(), "response": contract.Response.model_json_schema()}
Path(sys.argv[2]).write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\\n", encoding="utf-8")
Path(sys.argv[3]).write_text(json.dumps(contract.EXAMPLE, indent=2, ensure_ascii=False) + "\\n", encoding="utf-8")
"""


@dataclass(frozen=True)
class EdgePackage:
    """A written package. `digest` is its manifest's, and so says what every file of it is; `answer` is what it answered
    to the contract's example."""

    folder: Path
    identity: Identity
    digest: str
    answer: str


def write_package(bento: Path, release: str | None, to: Path, *, page: bool) -> EdgePackage:
    """Write the package of the unpacked `bento` as the folder `to`, with the text of its release document where there
    is one, with a web page where `page` says so, and have it answer the contract's example.

    A package that is there already is replaced; it appears whole or not at all. Raises `ConfigurationError` where `to`
    holds something else, the room's code needs more than there is at the edge, or the page can't be had.
    """
    if to.exists() and not (to / run.MANIFEST).is_file() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigurationError(f"{to} holds something else than an edge package.", "Name another folder.")
    source = bento / "src"
    identity = Identity.of(source)
    to.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=to.parent, prefix=f".{to.name}-"))
    try:
        package = scratch / "package"
        package.mkdir()
        write_code(source, identity.model, package / "code")
        for name in (run.GRAPH, run.IDENTITY, CARD_FILE):
            shutil.copyfile(source / name, package / name)
        shutil.copyfile(_TEMPLATES / "run.py", package / "run.py")
        if release is not None:
            (package / run.RELEASE).write_text(release, encoding="utf-8")
        _python([sys.executable, "-c", _CONTRACT, identity.model, *(str(package / it) for it in _DOCUMENTS)], source)
        if page:
            write_page(package)
        digest = _write_manifest(package)
        if page:
            try_page(package)
        answer = _python([sys.executable, "-I", str(package / "run.py"), str(package / _DOCUMENTS[1])], package)
        package.chmod(0o755)
        if to.exists():
            to.rename(scratch / "replaced")
        package.rename(to)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return EdgePackage(to, identity, digest, answer)


_DOCUMENTS = ("contract.schema.json", "example.json")


def write_code(source: Path, model: str, code: Path) -> None:
    """Copy the modules that answering needs from `source` to the folder `code`, with what stands in for the others.

    Raises `ConfigurationError` where one imports what there is not at the edge.
    """
    start = Path("bentos", model, "service.py")
    refusal = "which there is not at the edge."
    for module in reached([start], source, LIBRARIES, refusal, "Code at the edge may import", _STANDINS.keys()):
        if module not in _STANDINS:
            (code / module).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / module, code / module)
    for module, name in _STANDINS.items():
        shutil.copyfile(_TEMPLATES / "standins" / name, code / module)
    for name in _BESIDE:
        (code / _COMMON / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_TEMPLATES.parent / name, code / _COMMON / name)


def _write_manifest(package: Path) -> str:
    files = sorted(path for path in package.rglob("*") if path.is_file())
    digests = {path.relative_to(package).as_posix(): archives.digest(path) for path in files}
    manifest = package / run.MANIFEST
    manifest.write_text(json.dumps({"files": digests}, indent=2) + "\n")
    return archives.digest(manifest)


def _python(command: list[str], folder: Path) -> str:
    """What a program prints that runs in `folder` and knows of no other code of ours."""
    variables = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise DataError(f"The edge package can't answer its own example: {reason}")
    return done.stdout.strip()
