"""The web page of an edge package: its files, and what it runs on, fetched from npm by a lock with hashes.

Nothing of what is fetched is in git; it is kept in the state folder, once for each lock.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bakehouse import archives, workspace
from bakehouse.errors import ConfigurationError

_PAGE = Path(__file__).parent / "edge" / "page"
_LOCK = ("package.json", "package-lock.json")
_FILES = ("index.html", "page.css", "page.mjs")
_PYTHON = {
    "asking.py": "asking.py",
    "numpy.py": "numpy/__init__.py",
    "numpy_typing.py": "numpy/typing.py",
    "onnxruntime.py": "onnxruntime.py",
}
_FETCHED = {
    "onnxruntime-web/dist": ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"),
    "pyodide": ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"),
}
_TRIAL = """
import json, sys
from pathlib import Path
package = Path(sys.argv[1])
sys.path[:0] = [str(package), str(package / "page" / "python")]
from asking import Page
print(Page([], []).inputs((package / "example.json").read_text(encoding="utf-8")))
"""


def write_page(package: Path) -> None:
    """Write the page into the folder `package`, which holds all the rest of it and its manifest.

    Raises `ConfigurationError` where npm is missing or can't fetch.
    """
    page = package / "page"
    fetched = _fetched()
    (page / "vendor").mkdir(parents=True)
    for name in _FILES:
        shutil.copyfile(_PAGE / name, page / name)
    copy_python(page / "python")
    for file in fetched.iterdir():
        shutil.copyfile(file, page / "vendor" / file.name)


def copy_python(to: Path) -> None:
    """Copy what stands in for numpy and onnxruntime in a browser, and what the page asks of the runner."""
    for name, place in _PYTHON.items():
        (to / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_PAGE / "python" / name, to / place)


def try_page(package: Path) -> None:
    """Make the graph's inputs of the example as the page does. Raises `ConfigurationError` where the room's features
    need more of numpy than a browser has."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", _TRIAL, str(package)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or "inputs" not in json.loads(done.stdout):
        reason = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise ConfigurationError(f"This model can't answer in a browser: {reason}.", "Write it with --no-page.")


def _fetched() -> Path:
    """A folder with the files that the lock names, fetched where they are not there yet."""
    key = hashlib.sha256(b"".join((_PAGE / name).read_bytes() for name in _LOCK)).hexdigest()
    kept = workspace.state() / "cache" / "edge-page" / key
    if kept.is_dir():
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigurationError("A page needs npm, which is not installed.", "Install it, or write with --no-page.")
    kept.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=kept.parent, prefix=".fetching-"))
    try:
        for name in _LOCK:
            shutil.copyfile(_PAGE / name, scratch / name)
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        done = subprocess.run([npm, "ci", *options], cwd=scratch, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = " ".join(done.stderr.split()) or "no reason given"
            raise ConfigurationError(f"npm can't fetch what the page runs on: {reason}", "--no-page does without.")
        partial = scratch / "kept"
        partial.mkdir()
        for folder, names in _FETCHED.items():
            for name in names:
                (scratch / "node_modules" / folder / name).rename(partial / name)
        archives.settle(partial, kept)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return kept
