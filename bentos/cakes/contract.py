"""What a treat is: as it was voted on, as training sees it, as the service takes it.

Holds types and bounds only. There is nothing personal in it: people voted, but nobody wrote down who.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bentos.common.contract import Strict

EVEN = 50.0
"""The share of its duels, in percent, that a treat wins which is liked as much as any other."""


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 .&'()/-]{0,59}$")]
Flavour = Literal["chocolate", "fruit", "caramel", "nuts", "nougat", "wafer"]
Form = Literal["hard", "bar", "several"]
"""`several` come in one bag or box."""
Rank = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
"""The share of all treats that have less of it, or cost less."""
Label = Literal["not_liked", "liked"]


class Treat(Strict):
    """What can be known of a treat before anybody has tasted it."""

    flavours: Annotated[list[Flavour], Field(max_length=6)]
    forms: Annotated[list[Form], Field(max_length=3)]
    sugar: Rank
    price: Rank

    @model_validator(mode="after")
    def _is_a_treat(self) -> Self:
        if not self.flavours and not self.forms:
            raise PydanticCustomError("no_treat", "has neither a flavour nor a form, so it is no treat")
        if len({*self.flavours}) < len(self.flavours) or len({*self.forms}) < len(self.forms):
            raise PydanticCustomError("named_twice", "names a flavour or a form twice")
        return self


class Record(Treat):
    """A treat and the share of its duels, in percent, that it won: shown two treats, a person clicked on one."""

    name: Name
    won: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Masked(Record):
    """The same: nothing in it is personal."""


class Request(Treat):
    """A treat to judge."""


class Response(BaseModel):
    """Whether more people will prefer the treat to another than not, and how probable that is."""

    model_config = ConfigDict(protected_namespaces=())

    label: Label
    probability: Annotated[float, Field(ge=0, le=1)]
    model_version: int


EXAMPLE: dict[str, Any] = {"flavours": ["chocolate", "nuts"], "forms": ["bar"], "sugar": 0.6, "price": 0.65}


def record_id(record: Record | Masked) -> str:
    """A treat stands in the survey once; upper and lower case don't make two of it."""
    return hashlib.sha256(record.name.casefold().encode()).hexdigest()[:16]


def record_time(record: Record | Masked) -> None:
    """Nobody wrote down when people voted."""
    return


def is_liked(record: Record | Masked) -> bool:
    """Whether it won more than half of its duels."""
    return record.won > EVEN
