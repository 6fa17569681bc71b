"""What a rule is and what it says: judgements about subjects, and a result that can't be good without a subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Material = TypeVar("Material")


class Verdict(Enum):
    """What a rule found out about one subject. What can't be told is no better than what is broken."""

    KEPT = "kept"
    BROKEN = "broken"
    UNKNOWN = "unknown"


@dataclass(frozen=True, order=True)
class Judgement:
    """One rule on one subject: a resource's `root:address`, or a source's `file` with what stands in it."""

    subject: str
    verdict: Verdict
    message: str = ""

    @property
    def kept(self) -> bool:
        return self.verdict is Verdict.KEPT


@dataclass(frozen=True)
class Rule(Generic[Material]):
    """A named rule: why it is there, which controls it serves, and where its thresholds are set.

    `check` yields a judgement for every subject that the rule is about, kept or not.
    """

    id: str
    title: str
    why: str
    controls: tuple[str, ...]
    source: str
    check: Callable[[Material], Iterable[Judgement]]

    def result(self, material: Material) -> Result:
        """Judge every subject in the material."""
        return Result(self.id, tuple(sorted(self.check(material), key=lambda found: (found.subject, found.message))))


@dataclass(frozen=True)
class Result:
    """What one rule found. Without a subject there is no evidence, so it has failed."""

    rule: str
    judgements: tuple[Judgement, ...]

    @property
    def failures(self) -> tuple[Judgement, ...]:
        if not self.judgements:
            return (Judgement("(nothing)", Verdict.UNKNOWN, "there is nothing that this rule could judge"),)
        return tuple(judgement for judgement in self.judgements if not judgement.kept)

    @property
    def passed(self) -> bool:
        return not self.failures


def kept(subject: str, message: str = "") -> Judgement:
    """A judgement that the subject keeps the rule."""
    return Judgement(subject, Verdict.KEPT, message)


def broken(subject: str, message: str) -> Judgement:
    """A judgement that the subject breaks the rule."""
    return Judgement(subject, Verdict.BROKEN, message)


def unknown(subject: str, message: str) -> Judgement:
    """A judgement that it can't be told, which counts as a failure."""
    return Judgement(subject, Verdict.UNKNOWN, message)


def expect(subject: str, holds: bool, message: str) -> Judgement:
    """Kept where `holds`, else broken with the message."""
    return kept(subject) if holds else broken(subject, message)
