"""Where a team keeps the evidence that releases name by digest: the folder or object store of `BAKEHOUSE_EVIDENCE_URL`,
under the model's name, so that it can be read by whoever may and not only on the machine that trained.

A store with object lock makes it a record: what is there is written once, before the commit that names it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bakehouse import archives
from bakehouse.errors import ConfigurationError, DataError
from gitops import stores

VARIABLE = "BAKEHOUSE_EVIDENCE_URL"


def send(model: str, digests: Iterable[str]) -> None:
    """Copy reports of this machine there, where a store is named. Raises `DataError` for one that isn't here, and
    `ConfigurationError` where the store can't be written."""
    if not (url := os.environ.get(VARIABLE)):
        return
    here = {digest: stores.report(digest) for digest in digests}
    if missing := [digest for digest, path in here.items() if not path.is_file()]:
        raise DataError(f"The report {missing[0]} is not on this machine.", "Train again.")
    with _errors_of_the_store(url, "written"):
        files, folder = _opened(url, model)
        for digest, path in sorted(here.items()):
            files.pipe_file(f"{folder}/{_name(digest)}", path.read_bytes())


def report(model: str, digest: str) -> Path:
    """The report of a digest on this machine, fetched from there where only the store has it. It may be neither here
    nor there. Raises `ConfigurationError` where the store can't be read."""
    path = stores.report(digest)
    url = os.environ.get(VARIABLE)
    if path.is_file() or not url:
        return path
    with _errors_of_the_store(url, "read"):
        files, folder = _opened(url, model)
        try:
            content = files.cat_file(f"{folder}/{_name(digest)}")
        except FileNotFoundError:
            return path
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=".fetching-")
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123
            file.write(content)
        if archives.digest(Path(partial)) == digest:  # else it is not what the release names, and so not here
            Path(partial).replace(path)
    finally:
        Path(partial).unlink(missing_ok=True)
    return path


def _name(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _opened(url: str, model: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    files, folder = url_to_fs(f"{url.rstrip('/')}/{model}")
    if "file" in files.protocol:
        files.makedirs(folder, exist_ok=True)
    return files, folder


@contextmanager
def _errors_of_the_store(url: str, done: str) -> Iterator[None]:
    try:
        yield
    # s3fs turns what S3 refuses into OSErrors, and leaves what botocore can't do as botocore's own.
    except (OSError, ValueError, ImportError) as error:
        raise ConfigurationError(
            f"{url} can't be {done}: {' '.join(str(error).split()) or type(error).__name__}.",
            f"{VARIABLE} names the store of evidence: a folder, or s3://bucket.",
        ) from error
    except Exception as error:
        if not type(error).__module__.startswith("botocore"):
            raise
        raise ConfigurationError(
            f"{url} can't be {done}: {' '.join(str(error).split())}.", "Give the credentials that an AWS client reads."
        ) from error
