"""Partition the files of a batch: what they are together, by version, and the ranges that are scored apart."""

from __future__ import annotations

from typing import Annotated

from zenml import step

from bakehouse import workspace
from bentos.common.scoring_files import Plan, plan
from steps.ingest import find


@step
def partition(files: list[str], data_version: str | None) -> Annotated[Plan, "plan"]:
    """The files that paths and patterns name, seen from the checkout, in parts. Nothing is copied."""
    return plan(find(files, workspace.root()), data_version)
