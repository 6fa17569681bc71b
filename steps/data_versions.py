"""Data versions: raw batches kept by DVC, in a zone of their own that no other part of the state may hold data from.

The zone (`data/` in the state folder, readable by its owner alone) is a DVC repository without git: DVC's cache, its
remote, and for every version of a model's data one pointer `<model>/<hash>.dvc` with the files beside it. Working trees
are only read. Holds no contract: what the lines say is the gatekeeper's part.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from bakehouse import workspace
from bakehouse.errors import DataError
from gitops.release import DataFile

if TYPE_CHECKING:
    from dvc.repo import Repo

CHUNK = 1 << 20
INCOMING = "incoming-"
CONFIG = """[core]
    no_scm = True
    analytics = False
    check_update = False
    remote = local
[cache]
    type = reflink, hardlink, copy
['remote "local"']
    url = ../remote
"""
"""What `dvc init --no-scm` would write, without the cache it makes outside the checkout."""


class DataVersion(BaseModel):
    """A pointer to raw data: the DVC hash of the whole set, and each file of it with its own."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: str
    files: tuple[DataFile, ...]

    @property
    def documents(self) -> int:
        """Lines, one of which is a document if it is anything."""
        return sum(file.documents for file in self.files)


def keep(model: str, batches: Sequence[Path]) -> DataVersion:
    """Version the batches as one set and push it to the remote. The same content has the same version, always.

    Raises `DataError` where a batch is empty, where two have one name, or where the remote can't be reached.
    """
    names = [batch.name for batch in batches]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"More than one batch is named {', '.join(repeated)}.", "Name each file once, and differently.")
    with _zone(model) as (repo, folder):
        incoming = folder / f"{INCOMING}{uuid.uuid4().hex}"
        incoming.mkdir()
        documents = {batch.name: _copy(batch, incoming / batch.name) for batch in batches}
        (stage,) = repo.add(str(incoming))
        (out,) = stage.outs
        version = str(out.hash_info.value)
        files = tuple(
            DataFile(path=key[0], md5=str(entry.value), size=meta.size, documents=documents[key[0]])
            for key, meta, entry in sorted(out.get_obj(), key=lambda one: str(one[0]))
        )
        kept = DataVersion(model=model, version=version, files=files)
        _write_pointer(folder, kept)
        with _errors_of_dvc(f"keep data version {version}"):
            repo.push(targets=[str(_pointer(folder, kept))])
            repo.checkout(targets=[str(_pointer(folder, kept))], force=True)
    return kept


def files(data: DataVersion) -> list[Path]:
    """The raw files of a data version, in order of their names, fetched from the remote where they are not here.

    Raises `DataError` where neither the zone nor the remote has them any more.
    """
    return fetch(data.model, data.version)


def fetch(model: str, version: str) -> list[Path]:
    """The same by the hash alone."""
    with _zone(model) as (repo, folder):
        pointer = folder / f"{version.removesuffix('.dir')}.dvc"
        if not (was_here := pointer.is_file()):
            pointer.write_text(f"outs:\n- md5: {version}\n  hash: md5\n  path: {pointer.stem}\n")
        try:
            with _errors_of_dvc(f"fetch data version {version}"):
                repo.pull(targets=[str(pointer)], force=True)
        except DataError:
            if not was_here:
                pointer.unlink()
            raise
        return sorted(pointer.with_suffix("").iterdir())


def fetch_file(model: str, name: str, md5: str) -> Path:
    """One file that some data version holds, by its MD5; it is given that name. Raises `DataError` as `fetch` does."""
    with _zone(model) as (repo, folder):
        pointer = folder / "files" / md5 / f"{name}.dvc"
        pointer.parent.mkdir(parents=True, exist_ok=True)
        pointer.write_text(f"outs:\n- md5: {md5}\n  hash: md5\n  path: {name}\n")
        with _errors_of_dvc(f"fetch the batch {name} (md5 {md5})"):
            repo.pull(targets=[str(pointer)], force=True)
        return pointer.with_suffix("")


def known() -> dict[str, str]:
    """Every data version that the zone has a pointer to, in whatever run it was kept, with its model."""
    pointers = sorted((workspace.state() / "data").glob("*/*.dvc"))
    return {f"{pointer.stem}.dir": pointer.parent.name for pointer in pointers if not pointer.stem.startswith(INCOMING)}


def _copy(source: Path, target: Path) -> int:
    """Copy and count the lines in one pass, so that the count is of the bytes that were kept."""
    lines, last = 0, b"\n"
    with source.open("rb") as read, target.open("wb") as written:
        while chunk := read.read(CHUNK):
            written.write(chunk)
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    lines += last != b"\n"
    if not lines:
        raise DataError(f"The batch {source.name} is empty.", "Take it out of `batches`, or fetch it again.")
    return lines


def _pointer(folder: Path, data: DataVersion) -> Path:
    return folder / f"{data.version.removesuffix('.dir')}.dvc"


def _write_pointer(folder: Path, data: DataVersion) -> None:
    """DVC's own file format, so that `dvc` typed in the zone sees every version."""
    pointer = _pointer(folder, data)
    size = sum(file.size for file in data.files)
    pointer.write_text(
        f"outs:\n- md5: {data.version}\n  size: {size}\n  nfiles: {len(data.files)}\n"
        f"  hash: md5\n  path: {pointer.with_suffix('').name}\n"
    )


@contextmanager
def _zone(model: str) -> Iterator[tuple[Repo, Path]]:
    """The DVC repository and the model's folder in it, for one process at a time. What a killed process left behind
    half copied is removed."""
    root = workspace.state() / "data"
    folder = root / model
    folder.mkdir(parents=True, exist_ok=True)
    root.chmod(0o700)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob(f"{INCOMING}*"):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        try:
            yield _repository(root), folder
        finally:
            for left in folder.glob(f"{INCOMING}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _repository(root: Path) -> Repo:
    from dvc.repo import Repo

    # What it warns of is in the error that is raised, too.
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.ERROR)
    config = root / ".dvc" / "config"
    config.parent.mkdir(exist_ok=True)
    config.write_text(CONFIG)
    core, remotes = {"site_cache_dir": str(root / ".dvc" / "site")}, {}
    if url := os.environ.get("BAKEHOUSE_DATA_REMOTE"):
        core, remotes = core | {"remote": "team"}, {"team": {"url": url}}
    return Repo(str(root), config={"core": core, "remote": remotes})


@contextmanager
def _errors_of_dvc(doing: str) -> Iterator[None]:
    from dvc.exceptions import DvcException

    try:
        yield
    except (DvcException, OSError) as error:
        raise DataError(f"DVC can't {doing}: {' '.join(str(error).split())}.", "Is the remote there?") from error
