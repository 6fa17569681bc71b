"""What a single value may be, in pydantic's words: plain types, moments and days, bounds, lengths and patterns."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

Location = tuple[str | int, ...]
Check = Callable[[Any, Location], Any]
"""Takes what JSON holds at a location, and gives what it means. Raises `ValidationError`."""
_OUTSIDE_CLASSES = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\$")


class ValidationError(ValueError):
    """Every fault of a document, as pydantic's `errors()` gives them."""

    def __init__(self, details: Sequence[dict[str, Any]]) -> None:
        super().__init__(f"{len(details)} faults")
        self._details = list(details)

    def errors(self, **_options: bool) -> list[dict[str, Any]]:
        """Type, location, message and context of each fault."""
        return self._details


class AwareDatetime(datetime):
    """A moment that carries its zone."""


def fault(kind: str, location: Location, message: str, **context: Any) -> dict[str, Any]:
    """One detail of a `ValidationError`."""
    return {"type": kind, "loc": location, "msg": message, "ctx": context}


def refuse(kind: str, location: Location, message: str, **context: Any) -> ValidationError:
    """The error that has this fault alone."""
    return ValidationError([fault(kind, location, message, **context)])


_BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": ("greater than or equal", operator.ge),
    "gt": ("greater than", operator.gt),
    "le": ("less than or equal", operator.le),
    "lt": ("less than", operator.lt),
}


def rule(name: str, bound: Any, wanted: Any) -> Check:
    """The check of a constraint on the type `wanted`. Raises `TypeError` for one that is not known here."""
    if name in _BOUNDS:
        words, holds = _BOUNDS[name]

        ending = " to" if words.endswith("equal") else ""
        message = (
            f"Input should be {words}{ending} {bound:.15g}"
            if wanted is float
            else f"Input should be {words}{ending} {bound}"
        )
        limit = float(bound) if wanted is float else bound

        def bounded(value: Any, location: Location) -> Any:
            if value is not None and not holds(value, limit):
                raise refuse(words.replace(" ", "_"), location, message, **{name: limit})
            return value

        return bounded
    if name in ("min_length", "max_length"):
        measured: type[str | list[Any]] = str if wanted is str else list
        return lambda value, location: _long_enough(value, location, name, bound, measured)
    if name == "pattern":
        # Of pydantic's patterns a dollar is the end of the text; Python's also stands before a last line break.
        pattern = re.compile(_OUTSIDE_CLASSES.sub(lambda it: r"\Z" if it[0] == "$" else it[0], bound))

        def matching(value: Any, location: Location) -> Any:
            if value is not None and not pattern.search(value):
                raise refuse(
                    "string_pattern_mismatch", location, f"String should match pattern '{bound}'", pattern=bound
                )
            return value

        return matching
    if name == "allow_inf_nan":

        def finite(value: Any, location: Location) -> Any:
            if not bound and value is not None and not math.isfinite(value):
                raise refuse("finite_number", location, "Input should be a finite number")
            return value

        return finite
    raise TypeError(f"The constraint {name} can't be held at the edge")


def _long_enough(value: Any, location: Location, name: str, bound: int, measured: type[str | list[Any]]) -> Any:
    if not isinstance(value, measured) or (len(value) >= bound if name == "min_length" else len(value) <= bound):
        return value
    most = "least" if name == "min_length" else "most"
    context, plural = {name: bound}, "" if bound == 1 else "s"
    if isinstance(value, str):
        kind = "string_too_short" if name == "min_length" else "string_too_long"
        raise refuse(kind, location, f"String should have at {most} {bound} character{plural}", **context)
    kind = "too_short" if name == "min_length" else "too_long"
    found = f"List should have at {most} {bound} item{plural} after validation, not {len(value)}"
    raise refuse(kind, location, found, **context)


def _string(value: Any, location: Location) -> str:
    if not isinstance(value, str):
        raise refuse("string_type", location, "Input should be a valid string")
    return value


def _integer(value: Any, location: Location) -> int:
    if type(value) is not int:
        raise refuse("int_type", location, "Input should be a valid integer")
    return value


def _number(value: Any, location: Location) -> float:
    if type(value) not in (int, float):
        raise refuse("float_type", location, "Input should be a valid number")
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _boolean(value: Any, location: Location) -> bool:
    if not isinstance(value, bool):
        raise refuse("bool_type", location, "Input should be a valid boolean")
    return value


_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(
    rf"{_DATE.pattern}[Tt _][0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:[.,][0-9]{{1,9}})?)?"
    r"(?:[Zz]|[+\-\u2212](?:[01][0-9]|2[0-3]):?[0-5][0-9])?"
)


def _date(value: Any, location: Location) -> date:
    try:
        if _DATE.fullmatch(_text(value, location, "date")):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise refuse("date_from_datetime_parsing", location, "Input should be a valid date in the format YYYY-MM-DD")


def _moment(value: Any, location: Location) -> datetime:
    try:
        if _MOMENT.fullmatch(_text(value, location, "datetime")):
            return datetime.fromisoformat(value.upper().replace("\u2212", "-"))
    except ValueError:
        pass
    raise refuse("datetime_parsing", location, "Input should be a valid datetime")


def _aware(value: Any, location: Location) -> datetime:
    moment = _moment(value, location)
    if moment.tzinfo is None:
        raise refuse("timezone_aware", location, "Input should have timezone info")
    return moment


def _text(value: Any, location: Location, kind: str) -> str:
    if not isinstance(value, str):
        raise refuse(f"{kind}_type", location, f"Input should be a valid {kind}")
    return value


PLAIN: Mapping[Any, Check] = {
    str: _string,
    int: _integer,
    float: _number,
    bool: _boolean,
    date: _date,
    datetime: _moment,
    AwareDatetime: _aware,
}
