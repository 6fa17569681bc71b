"""The one exception tree. Commands translate these into one line and exit code 1; anything else is a defect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bakehouse.gates import GateResult


class BakehouseError(Exception):
    """Something the user can act on: `message` says what is wrong, `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message} {hint}")
        self.message = message
        self.hint = hint


class DataError(BakehouseError):
    """Data is missing, unreadable or not what its contract says."""


class GateError(BakehouseError):
    """At least one gate was missed. `misses` holds every one of them, not only the first."""

    def __init__(self, misses: Sequence[GateResult], context: str = "") -> None:
        self.misses = tuple(misses)
        count = len(self.misses)
        head = f"{context}: " if context else ""
        lines = "".join(f"\n  - {miss.describe()}" for miss in self.misses)
        super().__init__(f"{head}{count} gate{'s' if count != 1 else ''} missed:{lines}")


class ReleaseError(BakehouseError):
    """A release can't be made, moved, restored or trusted."""


class DeliveryError(BakehouseError):
    """What runs can't be brought to what git says."""


class ConfigurationError(BakehouseError):
    """A setting is missing, unknown or contradicts another."""
