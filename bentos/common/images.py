"""From a bento's archive to an OCI image that follows from the archive and the base, and from nothing else.

The libraries are those of the bento's own lock, fetched here, by hash, as wheels; a container engine only stacks them
on the base. Where archives are kept, and which release names an image, is others' business.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bakehouse import archives, workspace
from bakehouse.errors import ConfigurationError, DataError
from bentos.common.engines import Engine, engine
from bentos.common.identity import IDENTITY_FILE, Identity
from bentos.common.locked import LOCK_FILE

BASE_VARIABLE = "BAKEHOUSE_IMAGE_BASE"
PACKAGES = "/home/bentoml/packages"
PLATFORM = "x86_64-manylinux_2_28"
_DOCKERFILE = Path(__file__).with_name("Dockerfile")
_FROM = re.compile(r"^FROM (?P<base>(?P<name>\S+)@(?P<digest>sha256:[0-9a-f]{64}))$", re.MULTILINE)


@dataclass(frozen=True)
class BuiltImage:
    """An image in the engine's own store, as `reference` (name and tag)."""

    reference: str
    labels: Mapping[str, str]
    engine: Engine


def image_name(model: str, registry: str | None) -> str:
    """What the image of a model's versions is called. `registry` is a host, or a host and a path."""
    return f"{registry}/bakehouse/{model}" if registry else f"bakehouse/{model}"


def find_bento(model: str, version: int) -> tuple[Path, Identity]:
    """The archive of a model version in this machine's image store, and what it says of itself.

    Raises `DataError` where there is none.
    """
    for archive in sorted(workspace.images().glob("*.bento"), key=lambda it: it.stat().st_mtime, reverse=True):
        identity = _identity(archive)
        if (identity.model, identity.model_version) == (model, version):
            return archive, identity
    raise DataError(
        f"There is no bento of {model} {version} in {workspace.images()}.",
        "Copy its archive there from where it was trained, or train again.",
    )


def build_image(archive: Path, digest: str, name: str, engine_name: str | None = None) -> BuiltImage:
    """Build the image `name`, tagged with the model version, of the bento `archive` whose digest is `digest`.

    Raises `DataError` where the archive is not that bento, `ConfigurationError` where no engine works here, the base is
    not pinned or the libraries can't be had, `DeliveryError` where the engine fails.
    """
    chosen = engine(engine_name)
    dockerfile, base, base_digest = _dockerfile()
    scratch = Path(tempfile.mkdtemp(dir=workspace.state(), prefix="image-"))
    try:
        bento = archives.unpack(archive, digest, scratch / "bento")
        identity = Identity.of(bento / "src")
        shutil.copytree(_packages(bento / "src" / LOCK_FILE, dockerfile), scratch / "packages", copy_function=_link)
        (scratch / "Dockerfile").write_text(dockerfile)
        labels = _labels(identity, digest, base, base_digest)
        reference = f"{name}:{identity.model_version}"
        chosen.build(scratch, reference, labels)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return BuiltImage(reference, labels, chosen)


def push_image(image: BuiltImage) -> str:
    """Push it to the registry that its name says, and return its digest there. Raises `DeliveryError`."""
    return image.engine.push(image.reference)


def image_digest(image: BuiltImage) -> str | None:
    """The digest that a registry would give it, None where the engine can't tell. Raises `DeliveryError`."""
    return image.engine.digest(image.reference)


def _identity(archive: Path) -> Identity:
    try:
        with tarfile.open(archive, mode="r:gz") as tar:
            stream = tar.extractfile(f"src/{IDENTITY_FILE}")
            return Identity.model_validate_json(stream.read() if stream else b"")
    except (tarfile.TarError, KeyError, OSError, EOFError, ValidationError) as error:
        raise DataError(f"{archive} can't be read as a bento: {error}.", "Remove it, or restore it.") from error


def _labels(identity: Identity, digest: str, base: str, base_digest: str) -> dict[str, str]:
    """What the image is of. A release can't be named: it names the image."""
    return {
        "org.opencontainers.image.title": identity.model,
        "org.opencontainers.image.version": str(identity.model_version),
        "org.opencontainers.image.revision": identity.code_commit,
        "org.opencontainers.image.created": identity.built_at.isoformat(),
        "org.opencontainers.image.base.name": base,
        "org.opencontainers.image.base.digest": base_digest,
        "bakehouse/model": identity.model,
        "bakehouse/model-version": str(identity.model_version),
        "bakehouse/model-digest": identity.model_digest,
        "bakehouse/data-version": identity.data_version,
        "bakehouse/code-commit": identity.code_commit,
        "bakehouse/bento-digest": digest,
    }


def _dockerfile() -> tuple[str, str, str]:
    """The Dockerfile, the name of its base, and the base's digest."""
    text = _DOCKERFILE.read_text(encoding="utf-8")
    if wanted := os.environ.get(BASE_VARIABLE):
        text = _FROM.sub(f"FROM {wanted}", text)
    found = _FROM.search(text)
    if found is None:
        raise ConfigurationError(
            f"{BASE_VARIABLE} is {wanted}, which names no digest.", "Name the base as NAME:TAG@sha256:DIGEST."
        )
    return text, found["name"], found["digest"]


def _packages(lock: Path, dockerfile: str) -> Path:
    """A folder with the libraries of `lock`, as they stand in the image; made once for each lock."""
    if not lock.is_file():
        raise DataError(f"This bento has no {LOCK_FILE}: it was packaged before images were.", "Train again.")
    # Bytecode is written by this interpreter for the image's.
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    if f'"python{python}"' not in dockerfile:
        raise ConfigurationError(
            f"The image runs another Python than this {python}.", "Build it with the Python that its Dockerfile names."
        )
    key = hashlib.sha256(f"{lock.read_text()}{python} {PLATFORM}".encode()).hexdigest()
    kept = workspace.state() / "cache" / "image-packages" / key
    if kept.is_dir():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=kept.parent, prefix=".fetching-"))
    try:
        _fetch(lock, python, partial)
        _drop_programs(partial)
        _compile(partial)
        _normalise(partial)
        archives.settle(partial, kept)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return kept


def _fetch(lock: Path, python: str, folder: Path) -> None:
    """Wheels only, and only those whose hash the lock has: nobody's setup.py runs here."""
    options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--link-mode=copy", "--quiet"]
    target = ["--target", str(folder), "--python-version", python, "--python-platform", PLATFORM]
    done = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "install", *options, *target, "--requirement", str(lock)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = " ".join(done.stderr.split()) or "no reason given"
        raise ConfigurationError(f"The libraries of the image can't be fetched: {reason}")


def _drop_programs(folder: Path) -> None:
    """Remove what is started by its path: it names this machine's Python."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    (folder / ".lock").unlink(missing_ok=True)
    for record in folder.glob("*.dist-info/RECORD"):
        kept = [line for line in record.read_text().splitlines(keepends=True) if not line.startswith("../")]
        record.write_text("".join(kept))


def _compile(folder: Path) -> None:
    """Bytecode that is never compared with its source: times in an image say nothing."""
    options = ["-q", "-j", "0", "--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", PACKAGES]
    subprocess.run(
        [sys.executable, "-m", "compileall", *options, str(folder)],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        check=False,  # a library may ship a file for another Python, which nobody imports
    )


def _normalise(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _link(source: str, target: str) -> None:
    """Give the build a name of the file rather than a copy; it only reads."""
    os.link(source, target)
