"""Signatures of model folders: made by OpenSSF model-signing, good for its verifier and ours, broken by a change."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bakehouse import archives, workspace
from bakehouse.errors import ConfigurationError, ReleaseError
from bakehouse.signatures import SIGNATURE_FILE, Signature
from bentos.common.identity import RELEASE_VARIABLE, Identity
from bentos.common.packaging import BuiltBento
from gitops import signing
from gitops.promotion import commit_release
from gitops.release import Release
from gitops.repository import GitopsRepository
from gitops.signing import KEY_VARIABLE, Signers
from gitops.verification import verify
from tests import unmeasured
from tests.gitops_world import World, release
from tests.served import orders_bento


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model folder."""
    made = tmp_path / "cakes-3"
    (made / "code").mkdir(parents=True)
    (made / "model.onnx").write_bytes(b"graph")
    (made / "code" / "service.py").write_text("answer = 42\n")
    return made


def believed(**keys: str | None) -> Signers:
    return Signers("staging", {f"{name}.pem": key for name, key in keys.items() if key is not None}, {})


def test_what_is_signed_here_is_good_for_openssf_s_own_verifier(folder: Path, tmp_path: Path) -> None:
    bundle = signing.sign(folder)
    key = tmp_path / "key.pem"
    key.write_text(signing.public_key() or "")

    def verified() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *"-m model_signing verify key".split(), str(folder)]
        return subprocess.run(
            [*command, "--signature", bundle, "--public_key", key, "--ignore-paths", bundle],
            env=unmeasured.environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    done = verified()
    assert done.returncode == 0, done.stderr
    (folder / "model.onnx").write_bytes(b"groph")
    done = verified()
    assert done.returncode != 0
    assert "model.onnx" in done.stdout + done.stderr


def test_the_same_folder_and_key_give_the_same_signature(folder: Path, tmp_path: Path) -> None:
    again = shutil.copytree(folder, tmp_path / "again" / folder.name)
    assert signing.sign(folder).read_bytes() == signing.sign(again).read_bytes()


def test_a_signature_names_its_signer_among_those_believed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle, own = signing.sign(folder).read_bytes(), signing.public_key()
    monkeypatch.setenv("BAKEHOUSE_STATE", str(tmp_path / "elsewhere"))
    other = signing.public_key()
    assert other != own
    assert signing.signer(bundle, believed(other=other, own=own)) == "own.pem"
    with pytest.raises(ReleaseError, match=r"signed by a key that staging does not believe \(other.pem\)"):
        signing.signer(bundle, believed(other=other))
    with pytest.raises(ReleaseError, match="it believes none"):
        signing.signer(bundle, believed())


def test_the_laptops_key_is_made_once_and_is_its_owners_alone(folder: Path) -> None:
    signing.sign(folder)
    key = workspace.state() / "signing-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    first = signing.public_key()
    signing.sign(folder)
    assert signing.public_key() == first
    assert not list(workspace.state().glob(".signing-*"))


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1"])
@pytest.mark.parametrize("given", ["path", "text"])
def test_a_key_comes_from_the_environment(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, curve: str, given: str
) -> None:
    key = _key(tmp_path, curve)
    monkeypatch.setenv(KEY_VARIABLE, str(key) if given == "path" else key.read_text())
    assert signing.signer(signing.sign(folder).read_bytes(), believed(ci=signing.public_key())) == "ci.pem"
    assert not (workspace.state() / "signing-key.pem").exists()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: str(folder / "nowhere.pem"), "which can't be read: No such file"),
        (lambda _: "-----BEGIN CERTIFICATE-----\nnonsense", "The signing key can't be read"),
        (lambda folder: str(_key(folder, "secp256k1")), "another kind than model-signing takes"),
    ],
    ids=["missing", "nonsense", "unsupported curve"],
)
def test_a_key_that_is_none_is_refused_with_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], str], said: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, make(tmp_path))
    with pytest.raises(ConfigurationError, match=said):
        signing.sign(folder)


def test_without_a_key_nobody_is_believed_by_the_word_of_sigstore_unless_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle by a certificate is never good by any public key."""
    own = signing.public_key()
    text = signing.sign(folder).read_text().replace('"publicKey"', '"certificate"')
    with pytest.raises(ReleaseError, match="by nobody whom staging believes: it names none"):
        signing.signer(text.encode(), believed(own=own))
    monkeypatch.setenv(KEY_VARIABLE, signing.KEYLESS)
    assert signing.public_key() is None


@pytest.mark.parametrize("bundle", [b"", b"{}", b"[]", b'{"dsseEnvelope": {"signatures": [1, 2]}}', b"\xff"])
def test_what_is_no_bundle_is_refused(bundle: bytes) -> None:
    with pytest.raises(ReleaseError, match=r"model.sig is not the signature of a model"):
        Signature.read(bundle)


@pytest.fixture(scope="module")
def bento(tmp_path_factory: pytest.TempPathFactory) -> tuple[BuiltBento, Path]:
    """One real bento, packed and unpacked, for all that look into it or into a copy. Its state folder is kept."""
    made = tmp_path_factory.mktemp("bento")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BAKEHOUSE_STATE", str(made / "state"))
        patch.delenv(KEY_VARIABLE, raising=False)
        return orders_bento(made / "built")


@pytest.fixture
def copy(bento: tuple[BuiltBento, Path], tmp_path: Path) -> Path:
    return shutil.copytree(bento[1], tmp_path / "copy")


@pytest.fixture
def document(bento: tuple[BuiltBento, Path]) -> tuple[Release, bytes]:
    """A release of the real bento, and its signature."""
    built = bento[0]
    plain = release(1)
    pieces = {"sbom": archives.digest(built.sbom), "signature": archives.digest(built.signature)}
    update = {
        "model_digest": built.model_digest,
        "image": plain.image.model_copy(update={"digest": built.digest}),
        "evidence": plain.evidence.model_copy(update=pieces),
    }
    return plain.model_copy(update=update), built.signature.read_bytes()


def flip(path: Path) -> None:
    """Change one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


SIGNED = ("model.onnx", "model.json", "sbom.cdx.json", "card.md", "bentos/common/endpoint.py")


@pytest.mark.parametrize("name", SIGNED)
def test_a_service_does_not_start_on_a_file_that_was_changed(copy: Path, name: str) -> None:
    source = copy / "src"
    identity = Identity.of(source)
    began = time.monotonic()
    identity.agree_with_release(source)
    assert time.monotonic() - began < 2
    flip(source / name)
    with pytest.raises(ReleaseError, match=f"not the one that was signed: {name} was changed since it was signed"):
        identity.agree_with_release(source)


def test_a_service_does_not_start_beside_a_file_that_was_added_or_without_one(copy: Path) -> None:
    source = copy / "src"
    identity = Identity.of(source)
    (source / "json.py").write_text("import os\n")
    (source / "card.md").unlink()
    (source / "bentos" / "__pycache__").mkdir(exist_ok=True)
    (source / "bentos" / "__pycache__" / "compiled.pyc").write_bytes(b"")
    with pytest.raises(ReleaseError, match=r"signed: card.md is missing; json.py was not signed\."):
        identity.agree_with_release(source)


@pytest.mark.parametrize("how", ["another signature", "no signature"])
def test_a_service_does_not_start_with_another_signature_than_its_release_names(
    copy: Path, document: tuple[Release, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    source, said = copy / "src", tmp_path / "release.json"
    said.write_text(document[0].to_json())
    monkeypatch.setenv(RELEASE_VARIABLE, str(said))
    identity = Identity.of(source)
    identity.agree_with_release(source)
    (source / SIGNATURE_FILE).unlink()
    if how == "another signature":  # by a key that somebody has made himself
        signing.sign(source)
    with pytest.raises(ReleaseError, match=f"says signature {document[0].evidence.signature}, but this bento holds"):
        identity.agree_with_release(source)


def test_a_whole_bento_is_found_whole(
    world: World, bento: tuple[BuiltBento, Path], document: tuple[Release, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = _verified(bento[0], document, bento[0].archive, monkeypatch)
    assert {verdicts[part][0] for part in ("signature", "image", "model", "signed files", "SBOM")} == {"good"}


@pytest.mark.parametrize("name", SIGNED)
def test_verify_names_the_file_of_a_bento_that_was_changed(
    world: World,
    bento: tuple[BuiltBento, Path],
    document: tuple[Release, bytes],
    copy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    flip(copy / "src" / name)
    packed = tmp_path / "changed.bento"
    archives.pack(copy, packed)
    verdicts = _verified(bento[0], document, packed, monkeypatch)
    assert verdicts["image"][0] == "broken"
    assert verdicts["signed files"] == ("broken", f"{name} was changed since it was signed")
    assert (verdicts["model"][0] == "broken") == (name == "model.onnx")
    assert (verdicts["SBOM in the image"][0] == "broken") == (name == "sbom.cdx.json")


def test_verify_finds_a_changed_byte_of_the_packed_bento_and_of_the_kept_sbom(
    world: World,
    bento: tuple[BuiltBento, Path],
    document: tuple[Release, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed, bill = tmp_path / "packed.bento", tmp_path / "sbom.json"
    shutil.copyfile(bento[0].archive, packed)
    shutil.copyfile(bento[0].sbom, bill)
    flip(packed)
    flip(bill)
    verdicts = _verified(bento[0], document, packed, monkeypatch, bill)
    assert verdicts["image"][0] == verdicts["SBOM"][0] == "broken"


def _verified(
    built: BuiltBento,
    document: tuple[Release, bytes],
    archive: Path,
    monkeypatch: pytest.MonkeyPatch,
    bill: Path | None = None,
) -> dict[str, tuple[str, str]]:
    """Release the bento where its signer is believed, with this archive in its place, and verify it."""
    monkeypatch.setenv(KEY_VARIABLE, str(built.archive.parent.parent / "state" / "signing-key.pem"))
    chosen, bundle = document
    shutil.copyfile(archive, workspace.images() / f"{built.digest.removeprefix('sha256:')}.bento")
    kept = (chosen.evidence.sbom or "").removeprefix("sha256:")
    shutil.copyfile(bill or built.sbom, workspace.reports() / f"{kept}.json")
    repository = GitopsRepository.open()
    commit_release(repository, "staging", chosen, bundle)
    return {check.name: (check.verdict, check.said) for check in verify(repository)}


def _key(folder: Path, curve: str) -> Path:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    curves = {"prime256v1": ec.SECP256R1(), "secp384r1": ec.SECP384R1(), "secp256k1": ec.SECP256K1()}
    path = folder / f"{curve}.pem"
    key = ec.generate_private_key(curves[curve])
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path
