"""Bento archives: a folder packed so that the same files always give the same digest, and unpacked only when they do.

Knows nothing of what is in the folder, nor of releases.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from bakehouse.errors import DataError

_CHUNK = 1024 * 1024


def pack(folder: Path, archive: Path) -> str:
    """Write `folder` to `archive` (a tar.gz, replaced atomically) and return its digest, `sha256:` and 64 hex digits.

    Names are sorted and times, owners and modes normalised, so the digest says what the files are and nothing about
    when, where or by whom they were packed. Raises `DataError` for anything that is neither a file nor a folder.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=archive.parent, prefix=".packing-")
    partial = Path(name)
    try:
        with (
            os.fdopen(descriptor, "wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as compressed,
            tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
        ):
            for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
                _add(tar, path, path.relative_to(folder).as_posix())
        partial.chmod(0o644)
        found = digest(partial)
        partial.replace(archive)
    finally:
        partial.unlink(missing_ok=True)
    return found


def unpack(archive: Path, expected: str, folder: Path) -> Path:
    """Unpack `archive` into `folder` if its digest is `expected`, and return `folder`.

    A folder that is there already is left as it is: it only ever appears whole, by a rename. Raises `DataError` when
    the archive is missing, has another digest, is no tar.gz, or holds a link or a path that leads out of the folder.
    """
    if folder.is_dir():
        return folder
    if not archive.is_file():
        raise DataError(f"There is no image {expected} at {archive}.", "Train again, or copy it into the image store.")
    found = digest(archive)
    if found != expected:
        raise DataError(
            f"{archive} has the digest {found}, not {expected}.", "The file was changed: restore it, or train again."
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".unpacking-"))
    try:
        with tarfile.open(archive, mode="r:gz") as tar:
            for entry in tar:
                _extract(tar, entry, partial, archive)
        partial.chmod(0o755)
        settle(partial, folder)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
        raise DataError(f"{archive} can't be unpacked: {error}.", "Train again to build the image anew.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def settle(partial: Path, folder: Path) -> None:
    """Let what was made as `partial` appear whole as `folder`, unless another process made the same first."""
    try:
        partial.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def digest(path: Path) -> str:
    """The digest of a file, `sha256:` and 64 hex digits, read in chunks."""
    seen = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            seen.update(chunk)
    return f"sha256:{seen.hexdigest()}"


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        raise DataError(f"{path} is neither a file nor a folder.", "A bento holds plain files only.")
    entry = tarfile.TarInfo(name)
    if path.is_dir():
        entry.type = tarfile.DIRTYPE
        entry.mode = 0o755
        tar.addfile(entry)
        return
    entry.size = path.stat().st_size
    entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
    with path.open("rb") as stream:
        tar.addfile(entry, stream)


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, folder: Path, archive: Path) -> None:
    # Only what `pack` writes: tarfile's own filters are missing from the first releases of Python 3.11.
    name = PurePosixPath(entry.name)
    content = tar.extractfile(entry) if entry.isreg() else None
    if name.is_absolute() or ".." in name.parts or (content is None and not entry.isdir()):
        raise DataError(f"{archive} holds {entry.name}, which is neither a file nor a folder within it.")
    path = folder / name
    if content is None:
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("wb") as stream:
        shutil.copyfileobj(content, stream)
    path.chmod(0o755 if entry.mode & 0o100 else 0o644)
