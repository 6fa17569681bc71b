"""A stand-in for a bento: starts in a tenth of a second and misbehaves on request. For tests of what runs bentos.

`commit` puts releases of it into the GitOps repository of the test's own state folder.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from bakehouse import workspace
from bakehouse.archives import pack
from bakehouse.gates import at_least
from gitops.commits import Change
from gitops.release import Code, Data, DataFile, Evidence, Image, Metric, Release, Run, now, sha256
from gitops.repository import GitopsRepository

SERVICE = """
import asyncio, json, os, pathlib, sys, time
from aiohttp import web

bento, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
told = json.loads((bento / "model.json").read_text())
behaviour = json.loads((bento / "behaviour.json").read_text())
started = time.monotonic()
print("starting", flush=True)
if "fail" in behaviour:
    sys.exit(behaviour["fail"])
if behaviour.get("child"):
    import subprocess
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)

async def readyz(request):
    ready = time.monotonic() - started > behaviour.get("ready_after", 0) and not pathlib.Path("sick").exists()
    return web.Response(status=200 if ready else 503)

async def release(request):
    return web.json_response(told)

async def predict(request):
    body = await request.read()
    await asyncio.sleep(float(request.query.get("seconds", 0)))
    while "until" in request.query and not pathlib.Path(request.query["until"]).exists():
        pathlib.Path("held").touch()
        await asyncio.sleep(0.05)
    answer = {"model_version": told["model_version"], "pid": os.getpid(), "bytes": len(body), "home": os.getcwd()}
    return web.json_response(answer)

application = web.Application(client_max_size=2**30)
application.router.add_get("/readyz", readyz)
application.router.add_get("/release", release)
application.router.add_route("*", "/predict", predict)
web.run_app(application, host="127.0.0.1", port=port, print=None, access_log=None, shutdown_timeout=5)
"""


def start(bento: Path, port: int) -> list[str]:
    """The command that serves it, in place of a real bento's."""
    return [sys.executable, str(bento / "service.py"), str(bento), str(port)]


def build(
    tmp_path: Path, version: int, model: str = "orders", told: dict[str, Any] | None = None, **behaviour: Any
) -> Release:
    """Put an image that behaves so into the image store, and return the release that pins it."""
    bento = tmp_path / "bentos" / f"{model}-{version}"
    bento.mkdir(parents=True, exist_ok=True)
    model_digest = sha256(f"{model} {version}".encode())
    answer = {"model": model, "model_version": version, "model_digest": model_digest, **(told or {})}
    (bento / "service.py").write_text(SERVICE)
    (bento / "model.json").write_text(json.dumps(answer))
    (bento / "behaviour.json").write_text(json.dumps(behaviour))
    packed = bento.with_suffix(".bento")
    digest = pack(bento, packed)
    packed.rename(workspace.images() / f"{digest.removeprefix('sha256:')}.bento")
    return Release(
        model=model,
        model_version=version,
        image=Image(name=f"bakehouse/{model}", tag=str(version), digest=digest),
        model_digest=model_digest,
        data=Data(
            version="0" * 32,
            files=(DataFile(path="data/batch.ndjson", md5="0" * 32, size=10, documents=1),),
            documents=1,
            accepted=1,
        ),
        code=Code(commit="unversioned", dirty=False),
        run=Run(zenml="run", mlflow="run"),
        evidence=Evidence(
            champion=None,
            test_rows=1,
            test_digest=sha256(b"test"),
            metrics={"average_precision": Metric(value=0.9)},
            gates=(at_least("average_precision", 0.9, 0.8, "problem.yaml: gates.average_precision"),),
            reports={},
        ),
        promotion_policy="automatic",
        created_at=now(),
        created_by="a test",
    )


def commit(environment: str, release: Release | str | None, model: str = "orders") -> str:
    """Commit a release (or any text in its place, or its removal) and return the commit."""
    folder = f"environments/{environment}/{model}/release"
    files: dict[str, bytes | None]
    if release is None:
        files = {f"{folder}/release.json": None, f"{folder}/kustomization.yaml": None}
    elif isinstance(release, str):
        files = {f"{folder}/release.json": release.encode()}
    else:
        files = {f"{folder}/{name}": text.encode() for name, text in release.files().items()}
    made = GitopsRepository.open().commit(lambda _: Change(subject=f"Release {model} to {environment}", files=files))
    if made is None:
        raise AssertionError("nothing was committed")
    return made.sha
