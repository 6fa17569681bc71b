"""Signatures of model folders: made by OpenSSF model-signing, good for its verifier and ours, broken by a change."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitops import signing
from gitops.signing import Signers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model folder."""
    made = tmp_path / "cakes-3"
    (made / "code").mkdir(parents=True)
    (made / "model.onnx").write_bytes(b"graph")
    (made / "code" / "service.py").write_text("answer = 42\n")
    return made


def believed(*keys: str | None) -> Signers:
    return Signers("staging", {f"{number}.pem": key for number, key in enumerate(keys) if key is not None}, {})


def test_what_is_signed_here_is_good_for_openssf_s_own_verifier(folder: Path, tmp_path: Path) -> None:
    bundle = signing.sign(folder)
    key = tmp_path / "key.pem"
    key.write_text(signing.public_key() or "")

    def verify() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                *"-m model_signing verify key".split(),
                folder,
                "--signature",
                bundle,
                "--public_key",
                key,
            ],
            capture_output=True,
            text=True,
            check=False,
        )

    done = verify()
    assert done.returncode == 0, done.stderr
    (folder / "model.onnx").write_bytes(b"groph")
    assert verify().returncode != 0


def test_the_same_folder_and_key_give_the_same_signature(folder: Path, tmp_path: Path) -> None:
    again = shutil.copytree(folder, tmp_path / "again" / folder.name)
    assert signing.sign(folder).read_bytes() == signing.sign(again).read_bytes()
