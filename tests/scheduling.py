"""Which tests go to which of the workers that pytest-xdist runs side by side, and in which order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling

CHECKOUT = Path(__file__).resolve().parents[1]
GROUP = re.compile(r'\bxdist_group\("(\w+)"\)')
SHARED = re.compile(r'\bfixture\(.*scope="(?:module|session)"')


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist is not typed for its heirs
    """One worker takes a whole file, so that a fixture of its own is made once; or all files that carry the same
    `pytest.mark.xdist_group("name")`. An end-to-end test that shares no such fixture goes by itself, for it is long."""

    # xdist's own way, loadgroup, has no effect with pytest 9.2 and later.
    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if _goes_apart(file) else _group(file)


def longest_first(items: list[pytest.Item], folders: Sequence[str]) -> None:
    """Sort so that nobody waits at the end: what is marked `long`, then folder after folder, the last one first."""
    places = [CHECKOUT / folder for folder in folders]
    items.sort(
        key=lambda item: (
            item.get_closest_marker("long") is None,
            -max((number for number, place in enumerate(places) if item.path.is_relative_to(place)), default=-1),
        )
    )


def _goes_apart(file: str) -> bool:
    return file.startswith("tests/e2e/") and _group(file) == file and not SHARED.search(_text(file))


def _group(file: str) -> str:
    found = GROUP.search(_text(file))
    return found[1] if found else file


@cache
def _text(file: str) -> str:
    return (CHECKOUT / file).read_text()
