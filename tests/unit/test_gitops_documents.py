"""The release document, its schema, and what the reference says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from bakehouse.errors import ReleaseError
from gitops import lineage
from gitops.release import Choice, Release, RunnerUp, json_schema
from tests.gitops_world import release

FOREIGN = 'x"\nresources:\n- https://example.org/theirs#"'
"""What would end the string that it stands in, and name a resource of its own."""


def test_the_published_schema_is_the_documents_own(checkout: Path) -> None:
    """`bakehouse release schema > docs/reference/release.schema.json` brings it up to date."""
    published = json.loads((checkout / "docs/reference/release.schema.json").read_text())
    assert published == json_schema()


def test_a_document_agrees_with_the_published_schema() -> None:
    Draft202012Validator.check_schema(json_schema())
    Draft202012Validator(json_schema()).validate(json.loads(release(2, champion=1).to_json()))


def test_the_reference_explains_every_field(checkout: Path) -> None:
    text = (checkout / "docs/reference/release.md").read_text()
    parts = [json_schema(), *json_schema()["$defs"].values()]
    fields = {name for part in parts for name in part.get("properties", {})}
    assert not [name for name in fields if f"`{name}`" not in text]


def test_a_document_reads_back_as_it_was_written() -> None:
    written = release(2, champion=1)
    assert Release.from_json(written.to_json()) == written
    assert Release.from_json(written.to_json()).to_json() == written.to_json()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("model_version", 0, "model_version: Input should be greater than 0"),
        ("model", "Orders!", "model: String should match"),
        ("schema_version", 2, "schema_version: Input should be 1"),
        ("model_digest", "sha256:abc", "model_digest: String should match"),
        ("created_at", "2026-01-01T00:00:00", "created_at: Input should have timezone info"),
        ("surprise", 1, "surprise: Extra inputs are not permitted"),
        ("run", {"zenml": FOREIGN, "mlflow": "1"}, "run.zenml: String should match"),
        ("run", {"zenml": "1", "mlflow": "two words"}, "run.mlflow: String should match"),
        ("run", {"zenml": "1\n", "mlflow": "1"}, "run.zenml: String should match"),
    ],
)
def test_a_wrong_field_is_named_with_the_reason(field: str, value: object, said: str) -> None:
    document = json.loads(release(1).to_json()) | {field: value}
    with pytest.raises(ReleaseError, match=f"release.json is not a release document: {said}"):
        Release.from_json(json.dumps(document))


def test_no_text_of_a_document_becomes_more_than_a_text_in_the_pin() -> None:
    """Not even where nothing has checked the document."""
    plain = release(1)
    pin = plain.model_copy(update={"run": plain.run.model_copy(update={"zenml": FOREIGN})}).pin()
    component = yaml.safe_load(pin)
    assert set(component) == set(yaml.safe_load(plain.pin()))
    assert component["commonAnnotations"]["bakehouse/run"] == FOREIGN


def test_a_document_from_before_there_was_a_choice_keeps_its_digest_and_one_with_a_choice_is_valid() -> None:
    """What reads an old document and writes it again must not change it: the pin beside it names its digest."""
    old = release()
    assert "choice" not in json.loads(old.to_json())["evidence"]
    assert Release.from_json(old.to_json()).digest == old.digest
    chosen = Choice(
        candidate="forest",
        params={"trees": 100, "rate": 0.5, "deep": True, "kind": "gini"},
        metric="accuracy",
        score=0.9,
        trials=30,
        given_up=8,
        runner_up=RunnerUp(candidate="linear", score=0.88, margin=0.02, low=-0.01, high=0.05),
    )
    new = old.model_copy(update={"evidence": old.evidence.model_copy(update={"choice": chosen})})
    assert Release.from_json(new.to_json()).evidence.choice == chosen
    Draft202012Validator(json_schema()).validate(json.loads(new.to_json()))
    (said,) = [part.said for part in lineage._evidence(new) if part.name == "choice"]
    assert said == (
        "forest (trees 100, rate 0.5, deep True, kind gini), accuracy 0.9 on dev data, best of 30 trials,"
        " 0.02 ahead of linear (95 % interval -0.01 to 0.05)"
    )
