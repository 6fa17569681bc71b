"""What keeps personal data out of everything behind the gatekeeper: the mark in the types, the rules by kind, the key.

Holds the mark `PII`, the masker compiled from the marks of a pydantic model, and the masking key. Knows no model, reads
no files but the key's, and leaves validation to pydantic.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel

from bakehouse import workspace
from bakehouse.errors import ConfigurationError

Kind = Literal["drop", "hash", "area", "scrub"]

KEY_VARIABLE = "BAKEHOUSE_MASKING_KEY"
SHORTEST_KEY = 32
TOKEN_DIGITS = 32
"""Half of SHA-256, the shortest truncation of an HMAC that RFC 2104 recommends."""


@dataclass(frozen=True)
class PII:
    """Marks a field as personal data: `Annotated[str, PII("hash", "email")]`.

    `kind` says what masking does: `drop` leaves the field out, `hash` puts a keyed token in its place, `area` cuts a
    postal code to its area, `scrub` takes e-mail addresses, phone and card numbers out of free text. `label` opens the
    token (`email:3f9a…`), and `email` and `phone` also say how a value is made alike before it is hashed.
    """

    kind: Kind
    label: str = "hash"


def masking_key() -> bytes:
    """The key of the tokens: `BAKEHOUSE_MASKING_KEY`, else one that is generated once and kept in the state folder.

    Tokens of the same key join across batches, so a team sets the variable; raises `ConfigurationError` where it is
    shorter than 32 characters, which a dictionary of e-mail addresses and guessed keys would undo.
    """
    named = os.environ.get(KEY_VARIABLE)
    if named is not None:
        if len(named) < SHORTEST_KEY:
            raise ConfigurationError(
                f"{KEY_VARIABLE} has {len(named)} characters, and a masking key needs at least {SHORTEST_KEY}.",
                "Make one with `openssl rand -hex 32`, or unset it to have one generated.",
            )
        return named.encode()
    path = workspace.state() / "masking.key"
    if not path.exists():
        draft = path.with_name(f"masking.key.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        try:
            # A link fails where the file exists, so of two first runs one key wins and both use it.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    key = path.read_bytes()
    if len(key) < SHORTEST_KEY:
        raise ConfigurationError(f"{path} holds no masking key.", "Delete it to have a new one generated.")
    return key


def token(key: bytes, label: str, value: str) -> str:
    """`label:` and 32 hex digits of HMAC-SHA256 over the value made alike (RFC 2104). Equal people get equal tokens."""
    alike = _ALIKE.get(label, str.strip)(value)
    # The label is hashed too, so that the same digits as a phone number and as a customer id don't look related.
    digest = hmac.digest(key, f"{label}\0{alike}".encode(), hashlib.sha256)
    return f"{label}:{digest.hex()[:TOKEN_DIGITS]}"


def area(postal_code: str) -> str:
    """The area of a postal code: the outward part of a British one (`SW1A 1AA` → `SW1A`), else its first half."""
    code = postal_code.strip().upper()
    british = _BRITISH_POSTAL_CODE.fullmatch(code)
    if british:
        return british.group(1)
    compact = _NOT_ALPHANUMERIC.sub("", code)
    return compact[: min(3, len(compact) // 2)]


def scrub(text: str) -> str:
    """`text` with every e-mail address, card number and phone number replaced by `[email]`, `[card]`, `[phone]`.

    A card number is 13 to 19 digits that pass the Luhn check (ISO/IEC 7812-1); a phone number is 9 to 15 digits
    (E.164) or 7 and more that open with +, 0 or a bracket. Stock codes, sizes and years stay.
    """
    if not _SUSPICIOUS.search(text):
        return text
    return _NUMBER.sub(_scrub_number, _EMAIL.sub("[email]", text))
