"""A ZenML pipeline that refuses what it does not know in a run configuration, and says what went wrong in one line.

ZenML ignores unknown keys of `-c FILE` and prints tracebacks for what a user can act on. This holds the remedy for both
and no pipeline.
"""

from __future__ import annotations

import difflib
import inspect
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError
from zenml.config.pipeline_run_configuration import PipelineRunConfiguration
from zenml.config.step_configurations import StepConfigurationUpdate
from zenml.enums import ExecutionMode
from zenml.models import PipelineRunResponse
from zenml.pipelines.pipeline_definition import Pipeline

from bakehouse.errors import BakehouseError, ConfigurationError


class StrictPipeline(Pipeline):
    """What `zenml pipeline run` runs. Raises `BakehouseError` to Python callers and exits with 1 under a command."""

    def with_options(self, *args: Any, **options: Any) -> Pipeline:
        """As ZenML's, after every key of the file at `config_path` has been recognised."""
        with _one_line_under_a_command():
            if (file := options.get("config_path")) is not None:
                refuse_unknown_keys(Path(file), self)
            return super().with_options(*args, **options)

    def __call__(self, *args: Any, **kwargs: Any) -> PipelineRunResponse | None:
        """As ZenML's, with errors that name the parameter, and no traceback for what is not a defect."""
        with _one_line_under_a_command(), _our_errors_said_once():
            try:
                return super().__call__(*args, **kwargs)
            except ValueError as error:
                if isinstance(error.__cause__, ValidationError):
                    raise _wrong_parameters(self.name, error.__cause__) from error
                raise


def strict(entrypoint: Callable[..., Any]) -> StrictPipeline:
    """The pipeline that `entrypoint` wires. Its steps are never answered from ZenML's cache: a step's inputs are
    pointers, and what they point to, git, the registry and the room, is not part of the cache key. The first step that
    fails ends the run with its own error."""
    return StrictPipeline(
        name=entrypoint.__name__,
        entrypoint=entrypoint,
        enable_cache=False,
        execution_mode=ExecutionMode.FAIL_FAST,
    )


def refuse_unknown_keys(file: Path, pipeline: Pipeline) -> None:
    """Raise `ConfigurationError` with every key of the run configuration that neither ZenML nor the pipeline knows."""
    document = _mapping(_load(file), file, "the file")
    options = set(PipelineRunConfiguration.model_fields) | set(inspect.signature(pipeline.configure).parameters)
    unknown = _unknown(document, options, "")
    parameters = _mapping(document.get("parameters"), file, "parameters")
    unknown += _unknown(parameters, inspect.signature(pipeline.entrypoint).parameters, "parameters.")
    for name, step in _mapping(document.get("steps"), file, "steps").items():
        settings = _mapping(step, file, f"steps.{name}")
        unknown += _unknown(settings, StepConfigurationUpdate.model_fields, f"steps.{name}.")
    if unknown:
        many = len(unknown) > 1
        raise ConfigurationError(
            f"{file} has {'keys' if many else 'a key'} that nothing reads: {', '.join(unknown)}.",
            f"Correct {'them or take them' if many else 'it or take it'} out.",
        )


def _unknown(given: Mapping[str, Any], known: Collection[str], prefix: str) -> list[str]:
    found = []
    for key in given:
        if key in known:
            continue
        near = difflib.get_close_matches(str(key), known, n=1)
        found.append(f"{prefix}{key}" + (f" (did you mean {prefix}{near[0]}?)" if near else ""))
    return found


def _load(file: Path) -> Any:
    try:
        return yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file} is no run configuration: {' '.join(str(error).split())}.") from error


def _mapping(value: Any, file: Path, name: str) -> Mapping[str, Any]:
    if value is None and name != "the file":
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{file}: {name} must hold keys and values, not {type(value).__name__}.")
    return value


def _wrong_parameters(pipeline: str, error: ValidationError) -> ConfigurationError:
    reasons = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_url=False))
    return ConfigurationError(
        f"The pipeline {pipeline} can't run with these parameters: {reasons}.",
        "Name a run configuration: zenml pipeline run ... -c zenml_config.yaml.",
    )


@contextmanager
def _one_line_under_a_command() -> Iterator[None]:
    """Turn an error that the user can act on into one red line and exit code 1, where a command line is running."""
    try:
        yield
    except BakehouseError as error:
        if click.get_current_context(silent=True) is None:
            raise
        click.secho(f"Error: {error}", fg="red", err=True)
        raise SystemExit(1) from error


@contextmanager
def _our_errors_said_once() -> Iterator[None]:
    """ZenML logs a failing step's error, and its traceback after it. Where the error is ours, whoever catches it says
    all there is to say."""
    handlers = logging.getLogger().handlers
    for handler in handlers:
        handler.addFilter(_without_our_errors)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(_without_our_errors)


def _without_our_errors(record: logging.LogRecord) -> bool:
    if record.exc_info and isinstance(record.exc_info[1], BakehouseError):
        record.exc_info = None
    return not any(isinstance(argument, BakehouseError) for argument in record.args or ())
