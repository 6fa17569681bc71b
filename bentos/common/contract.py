"""What rooms' contracts are made of: the strict base of their types, and times that can have been."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationInfo
from pydantic_core import PydanticCustomError


class Strict(BaseModel):
    """What every type of a contract is: no coercion, no unknown fields, no values in error messages."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)


def past(earliest: datetime) -> Callable[[datetime, ValidationInfo], datetime]:
    """A validator of times from `earliest` up to now, or up to the `now` of the validation's context."""

    def validate(time: datetime, info: ValidationInfo) -> datetime:
        now = info.context["now"] if info.context else datetime.now(UTC)
        if time > now:
            raise PydanticCustomError("in_the_future", "must not be in the future")
        if time < earliest:
            raise PydanticCustomError("too_early", f"must not be before {earliest:%Y-%m-%d}")
        return time

    return validate
