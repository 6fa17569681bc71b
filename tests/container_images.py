"""What the tests of images stand on: a registry on loopback, container storage of their own, and a base image made of
the Python that runs the tests, since no registry with a ready one can be reached.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.loopback import free_port, wait_for_answer

CHECKOUT = Path(__file__).resolve().parents[1]
PROGRAMS = ("buildah", "skopeo", "docker-registry")
START_SECONDS = 30
LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages", "__pycache__")
LIBRARIES = ("libdl.so.2", "libgcc_s.so.1", "libpthread.so.0", "librt.so.1", "libstdc++.so.6", "libz.so.1")
"""What wheels take for granted, besides what the interpreter itself links to."""


@dataclass(frozen=True)
class Registry:
    """A running registry; its content stands in `folder`."""

    host: str
    folder: Path

    def inspect(self, reference: str) -> dict[str, Any]:
        """What skopeo says of an image, by tag or digest."""
        return dict(json.loads(self._skopeo(reference)))

    def configuration(self, reference: str) -> dict[str, Any]:
        """The image's own configuration: user, entry point, layers."""
        return dict(json.loads(self._skopeo(reference, "--config")))

    def sizes(self, reference: str) -> list[int]:
        """The layers' sizes as the registry keeps them, in bytes, the base's first."""
        return [int(layer["size"]) for layer in json.loads(self._skopeo(reference, "--raw"))["layers"]]

    def _skopeo(self, reference: str, *options: str) -> str:
        command = ["skopeo", "inspect", "--tls-verify=false", *options, f"docker://{reference}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def require(*programs: str) -> None:
    """Skip the test where it isn't root's or one of the programs isn't there."""
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin", "/usr/lib/cni"))
    missing = [name for name in programs if shutil.which(name, path=path) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs {' and '.join(missing) or 'root'}")


def container_settings(folder: Path, host: str) -> dict[str, str]:
    """Environment variables: container storage under `folder`, and the registry at `host` spoken to without TLS."""
    folder.mkdir(parents=True)
    storage = folder / "storage.conf"
    storage.write_text(f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/graph"\nrunroot = "{folder}/run"\n')
    registries = folder / "registries.conf"
    registries.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')
    return {"CONTAINERS_STORAGE_CONF": str(storage), "CONTAINERS_REGISTRIES_CONF": str(registries)}


@contextmanager
def registry(folder: Path, port: int | None = None) -> Iterator[Registry]:
    """A registry on loopback that keeps its content in `folder`, for as long as the block runs."""
    folder.mkdir(parents=True, exist_ok=True)
    host = f"127.0.0.1:{port or free_port()}"
    settings = folder.with_suffix(".json")  # which is YAML as well
    storage = {"filesystem": {"rootdirectory": str(folder)}}
    settings.write_text(json.dumps({"version": 0.1, "storage": storage, "http": {"addr": host}}))
    with folder.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(["docker-registry", "serve", settings], stdout=log, stderr=log)
    try:
        wait_for_answer(process, f"http://{host}/v2/", folder.with_suffix(".log"), START_SECONDS)
        yield Registry(host, folder)
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def base_image(folder: Path, to: Registry, settings: Mapping[str, str]) -> str:
    """Push an image of this Python and what it links to, and return it as `name:tag@digest`."""
    root = folder / "root"
    _copy_python(root)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY root /\nENV PATH=/usr/local/bin\n")
    name = f"{to.host}/python:{sys.version_info.major}.{sys.version_info.minor}"
    digest = folder / "digest"
    for command in (
        ["build", "--quiet", "--timestamp=0", f"--file={folder / 'Dockerfile'}", "--tag", name, str(folder)],
        ["push", "--quiet", f"--digestfile={digest}", name],
    ):
        subprocess.run(["buildah", *command], env={**os.environ, **settings}, check=True, capture_output=True)
    return f"{name}@{digest.read_text().strip()}"


def share_libraries(state: Path) -> None:
    """Let this state folder have the libraries of images that the checkout's state keeps: 250 MB, by lock."""
    kept = CHECKOUT / ".bakehouse" / "cache" / "image-packages"
    kept.mkdir(parents=True, exist_ok=True)
    (state / "cache").mkdir(parents=True, exist_ok=True)
    (state / "cache" / "image-packages").symlink_to(kept)


def _copy_python(root: Path) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    prefix = Path(sys.base_prefix)
    (root / "usr/local/bin").mkdir(parents=True)
    (root / "usr/local/lib").mkdir()
    shutil.copy2(prefix / "bin" / version, root / "usr/local/bin" / version)
    (root / "usr/local/bin/python").symlink_to(version)
    ignored = shutil.ignore_patterns(*LEFT_OUT, "config-*", "_tkinter*", "_curses*", "readline*")
    shutil.copytree(prefix / "lib" / version, root / "usr/local/lib" / version, ignore=ignored, symlinks=True)
    extensions = list((root / "usr/local/lib" / version / "lib-dynload").glob("*.so"))
    for library in _linked([prefix / "bin" / version, *extensions]):
        target = root / library.relative_to("/")
        if library.is_relative_to(prefix):
            target = root / "usr/local" / library.relative_to(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(library.resolve(), target)
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0:root:/:\nbentoml:x:1034:1034::/tmp:\n")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    (root / "etc/ld.so.conf").write_text("/usr/local/lib\n")
    subprocess.run(["/sbin/ldconfig", "-r", root], check=True)
    (root / "tmp").mkdir(mode=0o1777)


def _linked(files: list[Path]) -> set[Path]:
    printed = subprocess.run(["ldd", *files], check=True, capture_output=True, text=True).stdout
    found = {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(", printed, re.MULTILINE)}
    folder = next(path.parent for path in found if path.name == "libc.so.6")
    return found | {folder / name for name in LIBRARIES}
