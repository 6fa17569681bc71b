"""From a model's room and its graph to a bento: one archive whose digest depends on what is in it and on nothing else.

Holds how a bento is put together. Where archives are kept, and which release names one, is others' business.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from pydantic import ValidationError

from bakehouse import archives, workspace
from bakehouse.errors import ConfigurationError, DataError
from bakehouse.signatures import SIGNATURE_FILE
from bentos.common.identity import GRAPH_FILE, IDENTITY_FILE, Identity
from bentos.common.locked import LOCK_FILE, locked
from bentos.common.room import Room
from bentos.common.runtime import runtime
from bentos.common.sbom import sbom

SBOM_FILE = "sbom.cdx.json"
CARD_FILE = "card.md"

Sign = Callable[[Path], Path]
"""Signs a folder, and returns the signature, which it has written into it."""


@dataclass(frozen=True)
class BuiltBento:
    """`digest` is that of `archive`, `model_digest` that of the graph in it; `sbom` and `signature` are also in the
    archive."""

    archive: Path
    digest: str
    model_digest: str
    sbom: Path
    signature: Path


def build_bento(
    room: Room,
    model_onnx: Path,
    model_version: int,
    lineage: Mapping[str, Any],
    out: Path,
    sign: Sign,
) -> BuiltBento:
    """Build the bento of `room` around the graph `model_onnx`, as `<model>-<model version>.bento` in the folder `out`,
    with its bill of materials and the signature of its `src/` beside it.

    `lineage` says `data_version`, `code_commit` and `built_at`; the same arguments give the same digest. Raises
    `DataError` where the graph is missing or lineage incomplete, `ConfigurationError` where BentoML refuses the room.
    """
    identity = _identity(room, model_onnx, model_version, lineage)
    root = room.folder.parents[1]
    needed = runtime(Path("bentos", room.name, "service.py"), root)
    out.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=workspace.state(), prefix="bento-"))
    try:
        context = scratch / f"{room.name}-{model_version}"  # the name that is signed
        for module in needed.modules:
            (context / module).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / module, context / module)
        shutil.copyfile(model_onnx, context / GRAPH_FILE)
        (context / IDENTITY_FILE).write_text(identity.model_dump_json(indent=2) + "\n")
        (context / LOCK_FILE).write_text(locked(needed.distributions))
        shutil.copyfile(room.folder / CARD_FILE, context / CARD_FILE)
        bill = sbom(identity, needed.distributions)
        (context / SBOM_FILE).write_text(bill)
        (context / "bentofile.yaml").write_text(_bentofile(room, identity, needed.distributions))
        signed = sign(context).read_bytes()
        bento = _build(context, scratch / "home", room.name, identity)
        archive = out / f"{room.name}-{model_version}.bento"
        digest = archives.pack(bento, archive)
        bill_file = out / f"{room.name}-{model_version}.{SBOM_FILE}"
        bill_file.write_text(bill)
        signature = out / f"{room.name}-{model_version}.{SIGNATURE_FILE}"
        signature.write_bytes(signed)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return BuiltBento(archive, digest, identity.model_digest, bill_file, signature)


def _identity(room: Room, model_onnx: Path, model_version: int, lineage: Mapping[str, Any]) -> Identity:
    if not model_onnx.is_file():
        raise DataError(f"There is no graph at {model_onnx}.", "Export the model before it is packaged.")
    try:
        return Identity(
            model=room.name, model_version=model_version, model_digest=archives.digest(model_onnx), **lineage
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise DataError(f"The lineage of {room.name} {model_version} is not complete: {faults}.") from error


def _bentofile(room: Room, identity: Identity, distributions: tuple[Distribution, ...]) -> str:
    # BentoML adds itself, and every other library is pinned here: there is nothing left for it to resolve.
    pins = [
        f"{name}=={found.version}" for found in distributions if (name := canonicalize_name(found.name)) != "bentoml"
    ]
    document = {
        "service": f"bentos.{room.name}.service",
        "name": room.name,
        "description": f"# {room.problem.title}\n\n{room.problem.problem}\n",
        "labels": {
            "model-version": str(identity.model_version),
            "data-version": identity.data_version,
            "code-commit": identity.code_commit,
        },
        "include": ["*"],
        "python": {"packages": pins, "lock_packages": False},
    }
    return yaml.safe_dump(document, sort_keys=False, width=120, allow_unicode=True)


def _build(context: Path, home: Path, model: str, identity: Identity) -> Path:
    """BentoML's own build, in a process of its own: it imports the room from `context` alone, so a bento that lacks a
    module fails here and not when it is to answer."""
    version = str(identity.model_version)
    # A bentofile that BentoML finds by itself it refuses below a folder like .bakehouse; one that is named it takes.
    options = ["--bentofile", "bentofile.yaml", "--version", version]
    done = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", *options, str(context)],
        cwd=context,
        env={
            **os.environ,
            "BENTOML_HOME": str(home),
            "BENTOML_DO_NOT_TRACK": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise ConfigurationError(f"BentoML can't build bentos/{model}: {reason}")
    bento = home / "bentos" / model / version
    description = bento / "bento.yaml"
    moment = f"creation_time: '{identity.built_at.isoformat()}'"
    description.write_text(re.sub(r"(?m)^creation_time: .*$", moment, description.read_text()))
    return bento
