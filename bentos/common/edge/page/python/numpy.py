"""Stands in a browser for numpy, of which there is none in the registries for it: arrays as rooms' features use them.

Rounds as numpy does. What it does not know is an error that names it when a package is written, and then the package
has no page. It is slow, and a page asks for a few rows.
"""

from __future__ import annotations

import itertools
import math
import operator
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any


class DType:
    """The type of an array's values. `kind` is numpy's letter for it."""

    def __init__(self, name: str, kind: str, cast: Callable[[Any], Any]) -> None:
        self.name = name
        self.kind = kind
        self.cast = cast

    def __repr__(self) -> str:
        return self.name


def _single(value: Any) -> float:
    try:
        found: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return found


float32 = DType("float32", "f", _single)
float64 = DType("float64", "f", float)
int64 = DType("int64", "i", int)
bool_ = DType("bool", "b", bool)
object_ = DType("object", "O", lambda value: value)
_TYPES: dict[Any, DType] = {it.name: it for it in (float32, float64, int64, bool_, object_)}
_TYPES |= {it: it for it in list(_TYPES.values())}
_TYPES |= {object: object_, float: float64, bool: bool_, int: int64, "string": object_}


class ndarray:  # noqa: N801  # numpy's name
    """Values in C order, and their shape."""

    def __init__(self, values: Sequence[Any], shape: Sequence[int], dtype: DType) -> None:
        self.values = [dtype.cast(value) for value in values]
        self.shape = tuple(shape)
        self.dtype = dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[place] for place in range(self.shape[0]))

    def reshape(self, *shape: Any) -> ndarray:
        """The same values in another shape; -1 is what is left."""
        wanted = list(shape[0]) if isinstance(shape[0], tuple | list) else list(shape)
        if -1 in wanted:
            wanted[wanted.index(-1)] = len(self.values) // (-math.prod(wanted) or 1)
        if math.prod(wanted) != len(self.values):
            raise ValueError(f"cannot reshape array of size {len(self.values)} into shape {tuple(wanted)}")
        return ndarray(self.values, wanted, self.dtype)

    def astype(self, dtype: Any) -> ndarray:
        """The same values as another type."""
        return ndarray(self.values, self.shape, _TYPES[dtype])

    def tolist(self) -> Any:
        """Nested lists."""
        return self.values[0] if not self.shape else [it.tolist() if isinstance(it, ndarray) else it for it in self]

    def all(self) -> bool:
        """Whether every value is true."""
        return all(self.values)

    def __getitem__(self, key: Any) -> Any:
        keys = key if isinstance(key, tuple) else (key,)
        keys = (*keys, *[slice(None)] * (len(self.shape) - len(keys)))
        steps = _steps(self.shape)
        chosen = [
            range(size)[it] if isinstance(it, slice) else [range(size)[it]]
            for it, size in zip(keys, self.shape, strict=True)
        ]
        places = itertools.product(*([place * step for place in one] for one, step in zip(chosen, steps, strict=True)))
        values = [self.values[sum(place)] for place in places]
        shape = [len(one) for one, it in zip(chosen, keys, strict=True) if isinstance(it, slice)]
        return ndarray(values, shape, self.dtype) if shape else values[0]

    def along(self, axis: int, work: Callable[[list[Any]], Sequence[Any]]) -> ndarray:
        """What `work` makes of each line of values along an axis."""
        axis %= len(self.shape)
        moved = moveaxis(self, axis, -1)
        size = self.shape[axis]
        lines = [work(moved.values[start : start + size]) for start in range(0, len(moved.values), size)]
        made = ndarray(list(itertools.chain(*lines)), (*moved.shape[:-1], len(lines[0]) if lines else 0), self.dtype)
        return moveaxis(made, -1, axis)

    def _reduced(self, axis: int, work: Callable[[list[Any]], Any]) -> ndarray:
        shape = [size for place, size in enumerate(self.shape) if place != axis % len(self.shape)]
        return self.along(axis, lambda line: [work(line)]).reshape(*shape)

    def min(self, axis: int) -> ndarray:
        """The least along an axis."""
        return self._reduced(axis, min)

    def max(self, axis: int) -> ndarray:
        """The greatest along an axis."""
        return self._reduced(axis, max)

    def mean(self, axis: int) -> ndarray:
        """The mean along an axis."""
        return self._reduced(axis, lambda line: math.fsum(line) / len(line))

    def std(self, axis: int) -> ndarray:
        """The standard deviation along an axis."""

        def deviation(line: list[float]) -> float:
            middle = math.fsum(line) / len(line)
            return math.sqrt(math.fsum((value - middle) ** 2 for value in line) / len(line))

        return self._reduced(axis, deviation)

    def __add__(self, other: Any) -> ndarray:
        return _each(operator.add, self, other)

    def __sub__(self, other: Any) -> ndarray:
        return _each(operator.sub, self, other)

    def __mul__(self, other: Any) -> ndarray:
        return _each(operator.mul, self, other)

    def __truediv__(self, other: Any) -> ndarray:
        return _each(operator.truediv, self, other)

    def __gt__(self, other: Any) -> ndarray:
        return _each(operator.gt, self, other, bool_)

    def __lt__(self, other: Any) -> ndarray:
        return _each(operator.lt, self, other, bool_)

    def __invert__(self) -> ndarray:
        return ndarray([not value for value in self.values], self.shape, bool_)


def array(values: Any, dtype: Any = None) -> ndarray:
    """An array of nested sequences; the type is that of floating numbers where none is given."""
    shape, flat = [], list(values)
    shape.append(len(flat))
    while flat and isinstance(flat[0], list | tuple):
        shape.append(len(flat[0]))
        flat = list(itertools.chain(*flat))
    return ndarray(flat, shape, _TYPES[dtype] if dtype is not None else float64)


asarray = array


def full(size: int, value: Any) -> ndarray:
    """So many times the value."""
    return ndarray([value] * size, (size,), float64)


def stack(arrays: Sequence[ndarray], axis: int = 0) -> ndarray:
    """Arrays of one shape as one, along a new axis."""
    joined = list(itertools.chain(*(it.values for it in arrays)))
    return moveaxis(ndarray(joined, (len(arrays), *arrays[0].shape), arrays[0].dtype), 0, axis)


def moveaxis(values: ndarray, source: int, target: int) -> ndarray:
    """The array with one axis in another place."""
    order = list(range(len(values.shape)))
    moved = order.pop(source)
    order.insert(target % len(values.shape), moved)
    steps = _steps(values.shape)
    ways = [[place * steps[axis] for place in range(values.shape[axis])] for axis in order]
    return ndarray(
        [values.values[sum(place)] for place in itertools.product(*ways)],
        [values.shape[axis] for axis in order],
        values.dtype,
    )


def diff(values: ndarray, axis: int = -1) -> ndarray:
    """From each value to the next along an axis."""
    return values.along(axis, lambda line: [after - before for before, after in itertools.pairwise(line)])


def argwhere(values: ndarray) -> ndarray:
    """The places of what is true."""
    places = [place for place, value in zip(_places(values.shape), values.values, strict=True) if value]
    return ndarray(list(itertools.chain(*places)), (len(places), len(values.shape)), int64)


def divide(values: ndarray, by: ndarray, out: ndarray, where: ndarray) -> ndarray:
    """Quotients, and what stands in `out` where none is asked for."""
    parts = zip(values.values, by.values, out.values, where.values, strict=True)
    return ndarray([one / other if asked else left for one, other, left, asked in parts], out.shape, float64)


def log(value: Any) -> Any:
    """The natural logarithm."""
    return _mapped(math.log, value)


def sqrt(value: Any) -> Any:
    """The square root."""
    return _mapped(math.sqrt, value)


def isfinite(value: Any) -> Any:
    """Whether it is a finite number."""
    return _mapped(math.isfinite, value, bool_)


def maximum(values: ndarray, other: Any) -> ndarray:
    """The greater of each two."""
    return _each(max, values, other)


def _mapped(work: Callable[[Any], Any], value: Any, dtype: DType | None = None) -> Any:
    if isinstance(value, ndarray):
        return ndarray([work(it) for it in value.values], value.shape, dtype or value.dtype)
    return work(value)


def _each(work: Callable[[Any, Any], Any], values: ndarray, other: Any, dtype: DType | None = None) -> ndarray:
    if isinstance(other, ndarray):
        if other.shape != values.shape:
            raise ValueError(f"operands have the shapes {values.shape} and {other.shape}")
        pairs = zip(values.values, other.values, strict=True)
        return ndarray([work(one, two) for one, two in pairs], values.shape, dtype or values.dtype)
    return ndarray([work(value, other) for value in values.values], values.shape, dtype or values.dtype)


def _steps(shape: Sequence[int]) -> list[int]:
    return [math.prod(shape[place + 1 :]) for place in range(len(shape))]


def _places(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(size) for size in shape))
