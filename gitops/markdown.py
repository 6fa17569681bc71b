"""Text that others wrote, put into Markdown so that it stays text: no markup, no link, no mention, no broken table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_PLAIN = re.compile(r"[\w .,:;/@+=()%^'\"?!<>#&*\[\]{}$~…-]+")
_ENTITIES = re.compile(r"[&<>\\`*\[\]|~#!$\"']|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def literal(text: str, longest: int = 200) -> str:
    """The text as code, on one line: the one place where a forge neither mentions, links nor closes anything.

    Control characters and those that turn the writing direction are replaced, and what is longer than `longest` is cut.
    """
    line = " ".join(visible(text).split())
    line = line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
    if not line:
        return ""
    if _PLAIN.fullmatch(line):
        return f"`{line}`"
    # Backticks, bars and backslashes can't all be written in a code span within a table; entities can.
    return "<code>" + _ENTITIES.sub(lambda found: f"&#{ord(found[0])};", line) + "</code>"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. Cells are Markdown already, of one line each."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *rows])


def visible(text: str) -> str:
    """The text with each control character, and each that turns the writing direction, replaced by one that shows."""
    return "".join(
        character if character.isspace() or unicodedata.category(character)[0] != "C" else "�" for character in text
    )
