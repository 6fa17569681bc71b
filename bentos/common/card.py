"""A room's model card: which sections a card must have, and what of it is missing.

The sections are those of Mitchell et al., Model Cards for Model Reporting (2019). Some are problem.yaml's to say, the
figures are a run's; the others are written in card.md, one second-level heading each. Renders nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bakehouse.gates import GateResult, holds
from bentos.common.room import Room

GATE = "model_card"
WRITTEN = ("The model", "Data", "How well it does", "Where it fails", "Ethical considerations")
"""The sections that card.md must have; it may have others."""

_HEADING = re.compile(r"^## +(.+?) *#*$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?://)[^)]*\)")


def written(room: Room) -> Mapping[str, str]:
    """The sections of the room's card.md, in its order: their text by heading, Markdown without links to files of the
    checkout, which lead nowhere from a report. None where there is no card."""
    path = room.folder / "card.md"
    if not path.is_file():
        return {}
    text = _RELATIVE_LINK.sub(r"\1", _COMMENT.sub("", path.read_text(encoding="utf-8")))
    parts = _HEADING.split(text)[1:]
    return {heading: body.strip() for heading, body in zip(parts[::2], parts[1::2], strict=True)}


def gate(room: Room) -> GateResult:
    """Missed where a section that a card must have is missing or empty; it names each."""
    sections, problem = written(room), room.problem
    stated = {"intended_use": problem.intended_use, "out_of_scope": problem.out_of_scope}
    missing = [f"problem.yaml: {name}" for name, lines in stated.items() if not lines]
    missing += [f"card.md: ## {heading}" for heading in WRITTEN if not sections.get(heading)]
    found = f"missing: {'; '.join(missing)}" if missing else "complete"
    return holds(GATE, not missing, found, "complete", f"bentos/{room.name}/card.md")
