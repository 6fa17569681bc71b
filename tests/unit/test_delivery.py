"""The settings of local delivery, and the document that says what it saw."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil
import pytest

from bakehouse.errors import ConfigurationError
from gitops.delivery import settings
from gitops.observations import Observation, Pinned, observations, record

PINNED = Pinned(commit="c" * 40, model_version=1, image_digest="sha256:1", release_digest="sha256:2")
HEALTHY = Observation(
    environment="staging", model="orders", status="running", wanted=PINNED, running=PINNED, healthy=True
)


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The delivery settings of a checkout made for this test."""
    root = tmp_path / "checkout"
    (root / "bentos").mkdir(parents=True)
    (root / "environments" / "local").mkdir(parents=True)
    monkeypatch.setenv("BAKEHOUSE_ROOT", str(root))
    return root / "environments" / "local" / "delivery.yaml"


def test_the_settings_that_ship_are_valid_and_name_every_key(checkout: Path) -> None:
    shipped = settings()
    text = (checkout / "environments" / "local" / "delivery.yaml").read_text()
    assert [key for key in type(shipped).model_fields if f"\n{key}:" not in text] == []
    assert shipped.url("staging", "orders") == "http://127.0.0.1:3100/orders"


def test_some_of_the_environments_can_be_chosen_and_an_unknown_one_is_named_with_those_there_are() -> None:
    assert list(settings().only(["production"]).environments) == ["production"]
    assert settings().only([]) == settings()
    with pytest.raises(ConfigurationError, match="no environment moon") as refused:
        settings().only(["moon"])
    assert "staging, production" in refused.value.hint


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("environments: {staging: {port: 0}}", "environments.staging.port"),
        ("environments: {}", "environments"),
        ("environments: {staging: {port: 3100}}\npol_seconds: 1", "pol_seconds"),
        ("environments: {staging: {port: 3100}}\npoll_seconds: 0", "poll_seconds"),
        ("", "the document"),
        ("a: [", "not YAML"),
    ],
)
def test_a_setting_that_is_wrong_is_named_with_its_file(laptop: Path, text: str, named: str) -> None:
    laptop.write_text(text)
    with pytest.raises(ConfigurationError, match=named) as refused:
        settings()
    assert str(laptop) in refused.value.message


def test_missing_settings_are_named(laptop: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"delivery\.yaml can't be read"):
        settings()
    assert not laptop.exists()


def test_without_a_document_nothing_is_delivered_and_nothing_was_seen() -> None:
    assert not observations().delivering
    assert observations().of("staging", "orders") is None


@pytest.mark.parametrize("text", ["", "{", '{"deployments": 3}', "\0"])
def test_a_document_that_cannot_be_read_counts_as_none(state: Path, text: str) -> None:
    (state / "delivery").mkdir(parents=True)
    (state / "delivery" / "state.json").write_text(text)
    assert observations() == type(observations())()


def test_what_a_living_delivery_saw_is_read_back() -> None:
    record("h" * 40, (HEALTHY,), "all well")
    seen = observations()
    assert (seen.delivering, seen.head, seen.message) == (True, "h" * 40, "all well")
    assert seen.of("staging", "orders") == HEALTHY
    assert HEALTHY.in_sync


@pytest.mark.parametrize("change", [{"pid": 2**22 + 1}, {"pid_started": 1.0}])
def test_what_a_dead_delivery_saw_no_longer_counts_as_running(state: Path, change: dict[str, float]) -> None:
    record("h" * 40, (HEALTHY,))
    path = state / "delivery" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    seen = observations().of("staging", "orders")
    assert seen is not None
    assert (seen.wanted, seen.running, seen.healthy, seen.status) == (PINNED, None, False, "stopped")
    assert "not running" in seen.message


def test_a_release_is_in_sync_only_when_what_is_wanted_is_what_answers_well() -> None:
    other = PINNED.model_copy(update={"model_version": 2})
    assert not HEALTHY.model_copy(update={"wanted": other}).in_sync
    assert not HEALTHY.model_copy(update={"healthy": False}).in_sync
    assert not HEALTHY.model_copy(update={"wanted": None, "running": None}).in_sync


def test_the_document_names_this_process() -> None:
    record(None, ())
    assert observations().pid == os.getpid()
    assert observations().pid_started == psutil.Process().create_time()
