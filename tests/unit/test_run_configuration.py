"""What a run configuration may hold, and what is said of one that holds anything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bakehouse.errors import ConfigurationError
from pipelines.strict import refuse_unknown_keys, strict


@strict
def baking(flour: int, yeast: str = "dry") -> None:
    """A pipeline that has parameters and no steps."""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.yaml"


def test_known_keys_of_zenml_and_of_the_pipeline_are_accepted(file: Path) -> None:
    file.write_text(
        "run_name: today\nenable_step_logs: false\nsettings: {}\ntags: [a]\n"
        "parameters: {flour: 3}\nsteps: {knead: {enable_cache: false, parameters: {minutes: 3}}}\n"
    )
    refuse_unknown_keys(file, baking)


def test_every_unknown_key_is_named_with_the_one_that_was_probably_meant(file: Path) -> None:
    file.write_text(
        "parametres: {flour: 3}\nparameters: {yaest: wet, oven: 200}\nsteps: {knead: {enable_cahce: true}}\n"
    )
    with pytest.raises(ConfigurationError) as raised:
        refuse_unknown_keys(file, baking)
    message = str(raised.value)
    assert "parametres (did you mean parameters?)" in message
    assert "parameters.yaest (did you mean parameters.yeast?)" in message
    assert "parameters.oven," in message
    assert "steps.knead.enable_cahce (did you mean steps.knead.enable_cache?)" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "must hold keys and values, not NoneType"),
        ("- flour\n", "must hold keys and values, not list"),
        ("parameters: 3\n", "parameters must hold keys and values, not int"),
        ("steps: {knead: now}\n", "steps.knead must hold keys and values, not str"),
        ("parameters: {flour: [\n", "is no run configuration"),
        ("\x00", "is no run configuration"),
    ],
)
def test_a_file_that_is_no_run_configuration_is_refused_with_the_reason(file: Path, content: str, said: str) -> None:
    file.write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        refuse_unknown_keys(file, baking)


def test_naming_the_file_is_what_checks_it_so_that_zenml_pipeline_run_does(file: Path) -> None:
    file.write_text("parameters: {flower: 3}\n")
    with pytest.raises(ConfigurationError, match=r"parameters\.flower \(did you mean parameters\.flour\?\)"):
        baking.with_options(config_path=str(file))


def test_a_missing_and_a_wrong_parameter_are_both_named() -> None:
    with pytest.raises(ConfigurationError, match=r"baking can't run .* flour: .*; yeast: "):
        baking(yeast=3)
