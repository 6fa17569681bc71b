"""The one line of an environment's settings that chooses its platform's Component.

`settings/kustomization.yaml` is somebody's own file: only that line is put in, and everything else of it, comments
too, stays as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bakehouse.errors import ConfigurationError

SETTINGS = "settings/kustomization.yaml"
COMPONENT = "platform"


def with_platform(path: Path, *, environment: str, namespace: str) -> str:
    """The settings of an environment with its platform's Component as the first of `components`: the others change
    what it patches. New settings where there are none. Raises `ConfigurationError` where they are no Component, or put
    services into another namespace than the platform's identities are bound to."""
    text = path.read_text() if path.is_file() else _new(environment, namespace)
    before = _read(path, text)
    if before.get("namespace", namespace) != namespace:
        raise ConfigurationError(
            f"{path} puts services into the namespace {before['namespace']}; the platform gives its rights to those in "
            f"{namespace}.",
            "Name the same namespace in both.",
        )
    chosen = before.get("components") or []
    if COMPONENT in chosen:
        return text
    written = _insert(path, text)
    if _read(path, written) != {**before, "components": [COMPONENT, *chosen]}:
        raise ConfigurationError(f"{path} could not be edited.", f"Put {COMPONENT} first in its components by hand.")
    return written


def _new(environment: str, namespace: str) -> str:
    return (
        f"# What differs in {environment}, for every model.\n"
        f"apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamespace: {namespace}\n"
    )


def _read(path: Path, text: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is no YAML: {error}.") from error
    if not isinstance(document, dict) or document.get("kind") != "Component":
        raise ConfigurationError(f"{path} is no Component of kustomize.", "See environments/staging/settings for one.")
    return document


def _insert(path: Path, text: str) -> str:
    """Put the name in where the parser says that the list begins, or else a list behind `kind`."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode), f"{path} was read as a mapping"
    found = {key.value: value for key, value in root.value}
    chosen = found.get("components")
    if isinstance(chosen, yaml.SequenceNode) and chosen.flow_style:
        at = chosen.start_mark.index + 1
        return text[:at] + COMPONENT + (", " if chosen.value else "") + text[at:]
    if isinstance(chosen, yaml.SequenceNode):
        at = chosen.start_mark.index
        return f"{text[:at]}- {COMPONENT}\n{' ' * chosen.start_mark.column}{text[at:]}"
    at = text.find("\n", found["kind"].end_mark.index) + 1
    return f"{text[:at]}components: [{COMPONENT}]\n{text[at:]}"
