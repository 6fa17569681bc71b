"""Bento archives: reproducible when packed, trusted only by digest when unpacked."""

from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path

import pytest

from bakehouse.archives import digest, pack, unpack
from bakehouse.errors import DataError


@pytest.fixture
def bento(tmp_path: Path) -> Path:
    folder = tmp_path / "bento"
    (folder / "src" / "empty").mkdir(parents=True)
    (folder / "src" / "service.py").write_text("print('hello')\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    return folder


def test_unpacking_gives_back_every_file_and_folder(bento: Path, tmp_path: Path) -> None:
    archive = tmp_path / "images" / "a.bento"
    folder = unpack(archive, pack(bento, archive), tmp_path / "run" / "a")
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    assert names == ["run.sh", "src", "src/empty", "src/service.py"]
    assert (folder / "src" / "service.py").read_text() == "print('hello')\n"
    assert os.access(folder / "run.sh", os.X_OK)


def test_the_digest_says_what_the_files_are_not_when_or_with_which_rights_they_were_written(
    bento: Path, tmp_path: Path
) -> None:
    first = pack(bento, tmp_path / "first.bento")
    os.utime(bento / "src" / "service.py", (1, 1))
    (bento / "src" / "service.py").chmod(0o600)
    assert pack(bento, tmp_path / "second.bento") == first == digest(tmp_path / "second.bento")
    (bento / "src" / "service.py").write_text("print('other')\n")
    assert pack(bento, tmp_path / "third.bento") != first


def test_a_changed_archive_is_refused_and_leaves_nothing(bento: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.bento"
    expected = pack(bento, archive)
    archive.write_bytes(archive.read_bytes() + b"x")
    with pytest.raises(DataError, match=f"not {expected}"):
        unpack(archive, expected, tmp_path / "run" / "a")
    assert not (tmp_path / "run").exists()


def test_a_missing_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.bento"):
        unpack(tmp_path / "gone.bento", "sha256:" + "0" * 64, tmp_path / "run")


def test_a_file_that_is_no_archive_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    archive = tmp_path / "a.bento"
    archive.write_bytes(b"this is not a tar.gz")
    with pytest.raises(DataError, match="can't be unpacked"):
        unpack(archive, digest(archive), tmp_path / "run" / "a")
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/outside", tarfile.REGTYPE),
        ("inside/../../outside", tarfile.REGTYPE),
        ("../outside", tarfile.DIRTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("pipe", tarfile.FIFOTYPE),
    ],
)
def test_what_is_no_file_or_folder_within_is_refused(tmp_path: Path, name: str, kind: bytes) -> None:
    archive = tmp_path / "a.bento"
    with tarfile.open(archive, "w:gz") as tar:
        kept = tarfile.TarInfo("kept")
        tar.addfile(kept, io.BytesIO(b""))
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "kept" if kind == tarfile.LNKTYPE else "/etc/hostname"
        tar.addfile(entry)
    with pytest.raises(DataError, match=f"holds {re.escape(name)}"):
        unpack(archive, digest(archive), tmp_path / "run" / "a")
    assert list((tmp_path / "run").iterdir()) == []
    assert not (tmp_path / "outside").exists()


def test_a_link_is_never_packed(bento: Path, tmp_path: Path) -> None:
    (bento / "link").symlink_to("/etc/hostname")
    with pytest.raises(DataError, match="link is neither"):
        pack(bento, tmp_path / "a.bento")
    assert not (tmp_path / "a.bento").exists()
    assert not list(tmp_path.glob(".packing-*"))


def test_a_folder_that_is_there_already_is_left_as_it_is(bento: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.bento"
    expected = pack(bento, archive)
    folder = unpack(archive, expected, tmp_path / "run" / "a")
    (folder / "run.sh").write_text("kept\n")
    assert unpack(archive, expected, folder) == folder
    assert (folder / "run.sh").read_text() == "kept\n"
