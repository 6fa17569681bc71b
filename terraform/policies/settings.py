"""What the rules measure against, read from `settings.yaml`. Holds no threshold of its own."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field


class Crossing(BaseModel):
    """One way in which an environment may name another's account."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    resource: str
    action: str
    why: str = Field(min_length=20)


class Settings(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    required_tags: frozenset[str] = Field(min_length=1)
    deletion_protection: frozenset[str]
    backup_days: int = Field(ge=1)
    record_purposes: frozenset[str] = Field(min_length=1)
    record_days: int = Field(ge=1)
    recorded_purposes: frozenset[str] = Field(min_length=1)
    log_days: int = Field(ge=1)
    control_plane_logs: frozenset[str] = Field(min_length=1)
    managed_policies: frozenset[str]
    crossings: tuple[Crossing, ...]
    read_verbs: tuple[str, ...] = Field(min_length=1)
    read_actions: frozenset[str]
    policy_characters: dict[str, int]
    known_types: frozenset[str] = Field(min_length=1)


@cache
def environments() -> frozenset[str]:
    """The names of all environments: the folders of `terraform/environments`."""
    folder = Path(__file__).parents[1] / "environments"
    return frozenset(path.name for path in folder.iterdir() if path.is_dir())


@cache
def settings() -> Settings:
    """The settings beside this file."""
    text = Path(__file__).with_name("settings.yaml").read_text()
    return Settings.model_validate(yaml.safe_load(text))
