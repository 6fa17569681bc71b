"""What `verify` finds: a flipped byte anywhere, a commit that says one thing and does another, a rewritten history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pytest

from bakehouse.errors import GateError, ReleaseError
from bakehouse.signatures import SIGNATURE_FILE
from gitops import holds, signing
from gitops.commits import Change
from gitops.environment import Place
from gitops.promotion import commit_release, promote
from gitops.release import Release, sha256
from gitops.repository import GitopsRepository
from gitops.rollback import roll_back
from gitops.verification import Check, verify
from tests.gitops_world import World, commit_files, release, signed_release

STAGING, PRODUCTION = Place("staging", "orders"), Place("production", "orders")
SETTING = "environments/production/settings/kustomization.yaml"


@pytest.fixture
def signed(tmp_path: Path) -> Callable[..., tuple[Release, bytes]]:
    """A release document and the signature that its evidence names, over a graph and a bill of its own."""

    return partial(signed_release, tmp_path / "signed")


def broken(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.said) for check in checks if check.verdict == "broken"]


def story(world: World, repository: GitopsRepository, signed: Callable[..., tuple[Release, bytes]]) -> None:
    """Two versions released and promoted, one rolled back, one promotion reverted by hand."""
    for version in (1, 2):
        repository.fetch()
        commit_release(repository, "staging", *signed(version, champion=version - 1 or None))
        promote(repository, "orders", "production", proposals=world.bodies)
    roll_back(repository, PRODUCTION)
    clone = world.clone()
    world.git("revert", "--no-edit", "HEAD", at=clone)
    world.git("push", "--quiet", at=clone)
    commit_files(repository, {SETTING: "kind: Component\n# changed\n"})


def test_a_history_of_releases_promotions_rollbacks_and_reverts_is_whole(
    world: World, repository: GitopsRepository, signed: Callable[..., tuple[Release, bytes]]
) -> None:
    story(world, repository, signed)
    checks = verify(repository)
    assert broken(checks) == []
    said = {(check.place, check.name): check for check in checks}
    assert said[STAGING, "signature"].verdict == said[PRODUCTION, "signature"].verdict == "good"
    assert said[STAGING, "history"].said == "2 commits"
    assert said[PRODUCTION, "history"].said == "4 commits"


def flipped(text: str, at: str) -> str:
    """One character changed, right after `at`."""
    index = text.index(at) + len(at)
    return text[:index] + ("0" if text[index] != "0" else "1") + text[index + 1 :]


@pytest.mark.parametrize(
    ("name", "at", "part"),
    [
        ("release.json", '"value": 0.', "document"),
        ("release.json", '"model_digest": "sha256:', "document"),
        ("release.json", '"sbom": "sha256:', "document"),
        ("kustomization.yaml", "digest: sha256:", "pin"),
        ("kustomization.yaml", 'bakehouse/code-commit: "', "pin"),
        (SIGNATURE_FILE, '"sig": "', "signature"),
        (SIGNATURE_FILE, '"payload": "', "signature"),
    ],
    ids=["evidence", "model", "SBOM", "image pin", "lineage pin", "signature", "manifest"],
)
def test_a_flipped_byte_is_found_at_the_head_and_its_commit_in_history(
    world: World,
    repository: GitopsRepository,
    signed: Callable[..., tuple[Release, bytes]],
    name: str,
    at: str,
    part: str,
) -> None:
    commit_release(repository, "staging", *signed(1))
    path = f"{STAGING.release}/{name}"
    whole = repository.at().text(path)
    assert whole is not None
    made = commit_files(repository, {path: flipped(whole, at)}, "Change it by hand")
    found = broken(verify(repository))
    assert found[0][0] == part, found
    assert name in found[0][1]
    commit_files(repository, {path: whole}, "Change it back")
    ((check, said),) = broken(verify(repository))
    assert check == "history"
    assert said.startswith(f"commit {made.short} ") and name in said
    assert broken(verify(repository, history=False)) == []


def test_evidence_changed_together_with_its_pin_is_found_by_what_the_version_said_before(
    world: World, repository: GitopsRepository
) -> None:
    """Whoever writes a whole new folder leaves nothing that contradicts itself, but a version has one document."""
    commit_release(repository, "staging", release(1, average_precision=0.81))
    better = release(1, average_precision=0.99)
    made = commit_files(repository, {f"{STAGING.release}/{name}": text for name, text in better.files().items()})
    ((check, said),) = broken(verify(repository))
    assert check == "history"
    assert made.short in said and "model version 1 had another document before" in said


def lying(subject: str, trailers: Mapping[str, str], files: Mapping[str, str | None]) -> Change:
    return Change(subject, {path: None if text is None else text.encode() for path, text in files.items()}, trailers)


def test_a_commit_whose_trailers_say_another_version_is_found(repository: GitopsRepository) -> None:
    document = release(1)
    files = {f"{STAGING.release}/{name}": text for name, text in document.files().items()}
    said = {"Environment": "staging", **document.trailers(), "Image-Digest": release(2).image.digest}
    repository.commit(lambda _: lying("Release orders 1 to staging", said, files))
    wanted = f"it says Image-Digest {document.image.digest}, but the commit's trailer {release(2).image.digest}"
    assert any(wanted in found for _, found in broken(verify(repository)))


def test_a_release_commit_that_touches_more_than_its_release_is_found(repository: GitopsRepository) -> None:
    document = release(1)
    files = {f"{STAGING.release}/{name}": text for name, text in document.files().items()}
    said = {"Environment": "staging", **document.trailers()}
    repository.commit(lambda _: lying("Release orders 1 to staging", said, files | {SETTING: "kind: Component\n# x\n"}))
    assert any(
        f"{SETTING}: it was changed by a commit that releases orders" in found
        for _, found in broken(verify(repository))
    )


def test_a_promotion_of_what_its_source_never_had_is_found(repository: GitopsRepository) -> None:
    document = release(1)
    files = {f"{PRODUCTION.release}/{name}": text for name, text in document.files().items()}
    said = {"Environment": "production", "Promoted-From": "staging", **document.trailers()}
    repository.commit(lambda _: lying("Promote orders 1 to production", said, files))
    assert any("it was promoted from staging, which never had that" in found for _, found in broken(verify(repository)))


def test_a_rollback_to_what_was_never_there_is_found(repository: GitopsRepository) -> None:
    document = release(1)
    files = {f"{PRODUCTION.release}/{name}": text for name, text in document.files().items()}
    said = {"Environment": "production", "Rolled-Back-From": "2", **document.trailers()}
    repository.commit(lambda _: lying("Roll back orders in production to 1", said, files))
    assert any("rolled back to what production never had" in found for _, found in broken(verify(repository)))


def test_a_history_that_was_rewritten_is_refused(world: World, repository: GitopsRepository) -> None:
    commit_release(repository, "staging", release(1))
    commit_release(repository, "staging", release(2, champion=1))
    verify(repository)
    lost = repository.head()
    world.git("update-ref", "refs/heads/main", "main~1")
    commit_release(repository, "staging", release(3, champion=1))
    with pytest.raises(ReleaseError, match=f"history of main was rewritten: it no longer holds commit {lost[:10]}"):
        verify(repository)
    assert broken(verify(repository, history=False)) == []


def test_a_signer_who_is_believed_no_more_is_no_break_of_history_but_of_what_is_released(
    repository: GitopsRepository, signed: Callable[..., tuple[Release, bytes]]
) -> None:
    """Keys are changed; what they signed while they were believed stays as good as it was."""
    commit_release(repository, "staging", *signed(1))
    commit_files(repository, {f"{signing.folder('staging')}/{signing.OWN_SIGNER}": None}, "Believe this key no more")
    ((check, said),) = broken(verify(repository))
    assert check == "signature"
    assert "signed by a key that staging does not believe" in said


def test_a_signature_by_a_strangers_key_is_found(
    repository: GitopsRepository,
    signed: Callable[..., tuple[Release, bytes]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository.fetch()  # the repository is made, and believes this machine's own key
    monkeypatch.setenv("BAKEHOUSE_STATE", str(tmp_path / "stranger"))
    document, bundle = signed(1)
    monkeypatch.undo()
    commit_release(repository, "staging", document, bundle)
    names = [name for name, _ in broken(verify(repository))]
    assert names == ["signature", "history"]


def test_a_signature_of_another_model_is_found(
    repository: GitopsRepository, signed: Callable[..., tuple[Release, bytes]]
) -> None:
    """A good signature by a good key, of something else."""
    document, _ = signed(1)
    _, other = signed(2)
    evidence = document.evidence.model_copy(update={"signature": sha256(other)})
    commit_release(repository, "staging", document.model_copy(update={"evidence": evidence}), other)
    (check, said), *_ = broken(verify(repository, history=False))
    assert check == "signature"
    assert "the signed" in said or "it is of orders-2, not of orders-1" in said


def test_a_release_is_promoted_only_where_its_signer_is_believed(
    world: World, repository: GitopsRepository, signed: Callable[..., tuple[Release, bytes]]
) -> None:
    asked = "environments/production/settings/promotion.yaml"
    own = f"{signing.folder('production')}/{signing.OWN_SIGNER}"
    repository.fetch()
    key = repository.at().text(own)
    commit_files(repository, {asked: f"{world.promotion}evidence: [signature]\n", own: None}, "Believe nobody")
    commit_release(repository, "staging", *signed(1))
    with pytest.raises(GateError, match="evidence_signature missed: .* by a key that production does not believe"):
        promote(repository, "orders", "production", proposals=world.bodies)
    commit_files(repository, {own: key}, "Believe this machine")
    promote(repository, "orders", "production", proposals=world.bodies)
    assert repository.at().text(f"{PRODUCTION.release}/{SIGNATURE_FILE}") is not None
    assert broken(verify(repository)) == []


def test_a_release_whose_signature_is_not_the_one_it_names_is_not_committed(
    repository: GitopsRepository, signed: Callable[..., tuple[Release, bytes]]
) -> None:
    document, bundle = signed(1)
    for wrong in (bundle + b" ", None):
        with pytest.raises(ReleaseError, match="signature is not the one that the evidence"):
            commit_release(repository, "staging", document, wrong)


def test_a_hold_of_what_is_not_released_is_checked_as_well(repository: GitopsRepository) -> None:
    holds.hold(repository, PRODUCTION, "stocktaking")
    (found,) = verify(repository, history=False)
    assert (found.place, found.name, found.verdict) == (PRODUCTION, "hold", "good")
    assert "stocktaking" in found.said
