"""What a sentence is: as it was collected and labelled, as training sees it, as the service takes it.

Holds types and bounds only. Free text may hold anything, also an e-mail address, a phone or a card number: its mark has
those taken out before anything is trained or logged.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bentos.common.contract import Strict
from bentos.common.masking import PII
from bentos.sentiment.features import words

MOST_CHARACTERS = 5_000


SentenceId = Annotated[str, Field(pattern=r"^[a-z]{1,20}-[0-9]{1,9}$")]
Source = Literal["amazon", "imdb", "yelp"]
Label = Literal["negative", "positive"]
Text = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS), PII("scrub")]


class Record(Strict):
    """One labelled sentence: of a product, a film or a restaurant, as `source` says."""

    sentence_id: SentenceId
    source: Source
    text: Text
    label: Label


class Masked(Strict):
    """One labelled sentence without e-mail addresses, phone and card numbers."""

    sentence_id: SentenceId
    source: Source
    text: str
    label: Label


class Request(Strict):
    """One text to judge: `{"text": "…"}`, or the text alone as a JSON string."""

    text: Text

    @model_validator(mode="before")
    @classmethod
    def _the_text_alone(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value


class Response(BaseModel):
    """The verdict on one text. `score` is the probability that it is positive. A text without any word that the model
    knows, in another language or of signs alone, is `unknown`."""

    model_config = ConfigDict(protected_namespaces=())

    label: Literal["negative", "positive", "unknown"]
    score: Annotated[float, Field(ge=0, le=1)]
    model_version: int


EXAMPLE: dict[str, Any] = {"text": "The battery is excellent, and it arrived a day early."}


def record_id(record: Record | Masked) -> str:
    """What makes a record one: its words. Two sentences of the same words are duplicates, and a split by this id never
    puts one of them into training and the other into the test."""
    return hashlib.sha256(words(record.text).encode()).hexdigest()[:16]


def record_time(record: Record | Masked) -> None:
    """Nobody wrote down when."""
    return
