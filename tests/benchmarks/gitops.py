"""How long the commands take, each as a whole process as typed, on a repository with 10,000 release commits.

The commits are written by `git fast-import`; they are what the commands themselves would write: twenty models, released
to staging and promoted to production one after another, each release signed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bakehouse import workspace
from bakehouse.gates import at_least
from bakehouse.signatures import PAYLOAD_TYPE, SIGNATURE_FILE
from gitops.commits import Change
from gitops.environment import Place, kustomization
from gitops.release import Release, sha256
from tests.gitops_world import NO_CONDITIONS, release

MODELS = [f"model-{number:02}" for number in range(20)]
COMMITS = 10_000
PROMISED_SECONDS = {
    "help": 0.3,
    "status": 1.0,
    "history": 1.0,
    "lineage": 1.0,
    "board": 2.0,
    "promote": 2.0,
    "release verify": 60.0,
}
START = 1_767_225_600  # 2026-01-01


def run(quick: bool) -> dict[str, Any]:
    """Seconds per command, the median of several runs, beside what is promised."""
    commits, repetitions = (1_000, 3) if quick else (COMMITS, 7)
    with tempfile.TemporaryDirectory(prefix="bakehouse-bench-") as folder:
        bare = Path(folder) / "releases.git"
        documents = _fill(bare, commits)
        return {
            "commits": commits,
            "models": len(MODELS),
            "repetitions": repetitions,
            "document_bytes": documents,
            **_measure(Path(folder), bare, repetitions),
        }


def _measure(folder: Path, bare: Path, repetitions: int) -> dict[str, Any]:
    questions: dict[str, tuple[str, ...]] = {
        "help": ("--help",),
        "status": ("status",),
        "history": ("history", MODELS[0], "--env", "production"),
        "history of everything, as JSON": ("history", MODELS[0], "--limit", "0", "--json"),
        "history at a time": ("history", MODELS[0], "--at", "2026-01-01T12:00Z"),
        "lineage": ("lineage", MODELS[0], "--env", "production"),
        "diff": ("diff", MODELS[0]),
        "board": ("board",),
        "release verify --head": ("release", "verify", "--head"),
    }
    with_cache = _Commands(folder / "state", bare)
    first = with_cache.seconds("status")
    medians = {
        name: statistics.median(with_cache.seconds(*arguments) for _ in range(repetitions))
        for name, arguments in questions.items()
    }
    medians["release verify"] = with_cache.seconds("release", "verify")
    there, back = [], []
    for model in MODELS[1 : 1 + repetitions]:
        there.append(with_cache.seconds("promote", model, "--to", "production"))
        back.append(with_cache.seconds("rollback", model, "--env", "production"))
    medians |= {"promote": statistics.median(there), "rollback": statistics.median(back)}
    promised = {name: limit for name, limit in PROMISED_SECONDS.items() if medians[name] > limit}
    return {
        "seconds": {name: round(value, 3) for name, value in medians.items()},
        "promised": PROMISED_SECONDS,
        "first_command_with_an_empty_cache_seconds": round(first, 3),
        "slower_than_promised": sorted(promised),
    }


class _Commands:
    """`bakehouse` against one repository, in processes of its own."""

    def __init__(self, state: Path, bare: Path) -> None:
        self._environment = {**os.environ, "BAKEHOUSE_STATE": str(state), "BAKEHOUSE_GITOPS_URL": str(bare)}
        script = Path(sys.executable).parent / "bakehouse"
        self._command = [str(script)] if script.exists() else [sys.executable, "-m", "commands.main"]

    def seconds(self, *arguments: str) -> float:
        """How long one command takes, from start to end. Raises where it fails."""
        began = time.perf_counter()
        subprocess.run(
            [*self._command, *arguments],
            env=self._environment,
            cwd=workspace.root(),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return time.perf_counter() - began


def _fill(bare: Path, commits: int) -> int:
    """Make the repository; the size of one document."""
    git = shutil.which("git") or "git"
    subprocess.run([git, "init", "--quiet", "--bare", "--initial-branch=main", bare], check=True)
    size = 0
    with subprocess.Popen([git, "-C", bare, "fast-import", "--quiet"], stdin=subprocess.PIPE) as importing:
        if importing.stdin is None:
            raise RuntimeError("git fast-import takes no input")
        for number, (message, files) in enumerate(_story(commits)):
            importing.stdin.write(_commit(number, message, files))
            size = max(size, *(len(content) for content in files.values()))
    if importing.returncode != 0:
        raise RuntimeError("git fast-import failed")
    return size


def _story(commits: int) -> Iterator[tuple[str, dict[str, bytes]]]:
    """What happened: settings first, then each model is released and promoted, again and again. The last turn is not
    promoted, so that there is something to promote."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    settings = "environments/{}/settings/{}"
    yield (
        "Start",
        {
            settings.format("staging", "kustomization.yaml"): b"kind: Component\n",
            settings.format("production", "kustomization.yaml"): b"kind: Component\n",
            settings.format("production", "promotion.yaml"): NO_CONDITIONS.encode(),
            settings.format("staging", "signers/bench.pem"): public,
            settings.format("production", "signers/bench.pem"): public,
        },
    )
    made = 0
    version = 0
    while made < commits:
        version += 1
        for model in MODELS:
            document, bundle = _signed(_document(model, version), key, hashlib.sha256(public).hexdigest())
            said = {"Environment": "staging"} | document.trailers()
            yield _message(f"Release {model} {version} to staging", said), _folder("staging", document, bundle)
            made += 1
            if made < commits - len(MODELS):
                said |= {"Environment": "production", "Promoted-From": "staging"}
                files = _folder("production", document, bundle)
                yield _message(f"Promote {model} {version} to production", said), files
                made += 1


def _message(subject: str, trailers: Mapping[str, str]) -> str:
    return Change(subject, {}, trailers).message()


def _document(model: str, version: int) -> Release:
    """A document as large as a real one."""
    made = release(version, model=model, champion=version - 1 or None)
    gates = tuple(
        at_least(f"gate_{number}", 0.9, 0.8, f"bentos/{model}/problem.yaml: gates.gate_{number}")
        for number in range(12)
    )
    metrics = dict.fromkeys((f"metric_{number}" for number in range(12)), made.evidence.metrics["average_precision"])
    evidence = made.evidence.model_copy(update={"gates": gates, "metrics": metrics})
    return made.model_copy(update={"evidence": evidence})


def _signed(document: Release, key: ec.EllipticCurvePrivateKey, hint: str) -> tuple[Release, bytes]:
    """The document with a signature over as many files as a bento has; real bentos would take hours."""
    digests = {f"bentos/common/module_{number:02}.py": f"{number:064x}" for number in range(30)}
    digests |= {
        "model.onnx": document.model_digest.removeprefix("sha256:"),
        "sbom.cdx.json": (document.evidence.sbom or "").removeprefix("sha256:"),
    }
    added = hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests.values())).hexdigest()
    resources = [{"name": name, "algorithm": "sha256", "digest": digest} for name, digest in digests.items()]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": f"{document.model}-{document.model_version}", "digest": {"sha256": added}}],
        "predicateType": "https://model_signing/signature/v1.0",
        "predicate": {"serialization": {"method": "files", "hash_type": "sha256"}, "resources": resources},
    }
    payload = json.dumps(statement).encode()
    encoded = b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    signature = key.sign(encoded, ec.ECDSA(hashes.SHA256()))
    bundle = {
        "verificationMaterial": {"publicKey": {"hint": hint}},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }
    written = json.dumps(bundle).encode()
    evidence = document.evidence.model_copy(update={"signature": sha256(written)})
    return document.model_copy(update={"evidence": evidence}), written


def _folder(environment: str, document: Release, bundle: bytes) -> dict[str, bytes]:
    place = Place(environment, document.model)
    files = {f"{place.release}/{name}": text.encode() for name, text in document.files().items()}
    files[f"{place.release}/{SIGNATURE_FILE}"] = bundle
    return files | {place.kustomization: kustomization(document.model).encode()}


def _commit(number: int, message: str, files: dict[str, bytes]) -> bytes:
    who = f"Ada Lovelace <ada@example.org> {START + 60 * number} +0000"
    lines = [f"commit refs/heads/main\ncommitter {who}\ndata {len(message)}\n{message}\n".encode()]
    for path, content in files.items():
        lines.append(f"M 100644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n")
    return b"".join(lines) + b"\n"
