"""How one value is masked: keyed tokens, postal areas, and free text without e-mail addresses, phone and card numbers.

Pure functions of text; which field gets which of them is the mark's business (`bentos.common.masking`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping

TOKEN_DIGITS = 32
"""Half of SHA-256's: the shortest truncation of an HMAC that RFC 2104 recommends."""
FEWEST_LATER_DIGITS = 9


def tokens(key: bytes, label: str) -> Callable[[str], str]:
    """The function that gives a value its token: `label:` and 32 hex digits of HMAC-SHA256 (RFC 2104) over the value,
    made alike first: an e-mail address in lower case, a phone number as its digits. Equal values get equal tokens under
    equal keys and labels."""
    block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    # Both hashes are begun once: OpenSSL's own HMAC sets itself up for each value, which takes longer than hashing it.
    # The label is hashed too, so that equal digits as a phone number and as a customer id get unlike tokens.
    begin = hashlib.sha256(block.translate(_INNER_PAD) + f"{label}:".encode()).copy
    end = hashlib.sha256(block.translate(_OUTER_PAD)).copy
    alike = _ALIKE.get(label, str.strip)
    opening = f"{label}:"

    def token(value: str) -> str:
        inner, outer = begin(), end()
        inner.update(alike(value).encode())
        outer.update(inner.digest())
        return opening + outer.hexdigest()[:TOKEN_DIGITS]

    return token


def area(postal_code: str) -> str:
    """The area of a postal code: the outward part of a British one (`SW1A 1AA` → `SW1A`), else its first half, at most
    three letters or digits (`75008` → `75`)."""
    code = postal_code.strip().upper()
    british = _BRITISH_POSTAL_CODE.fullmatch(code)
    if british:
        return british.group(1)
    compact = "".join(filter(str.isalnum, code))
    return compact[: min(3, len(compact) // 2)]


def scrub(text: str) -> str:
    """`text` with `[email]`, `[card]` and `[phone]` in the place of e-mail addresses, card and phone numbers.

    A card number is 13 to 19 digits, in groups or not, that pass the Luhn check (ISO/IEC 7812-1). A phone number is 7
    digits or more that open with `+`, `(` or 0, nine or more in one run, ten or eleven in three groups of three or
    four, or nine or more from a group on that opens with 0. Between groups stand spaces, dots, hyphens, parentheses,
    slashes or underscores. Stock codes, sizes, dates and prices stay.
    """
    if not is_suspicious(text):
        return text
    return _NUMBER.sub(_scrub_number, _EMAIL.sub("[email]", text))


def is_suspicious(text: str) -> bool:
    """Whether `scrub` may change `text`. Several texts can be asked about at once, joined by a semicolon. Takes about a
    nanosecond a character, for it is asked about every line of every document."""
    if "@" in text or not text.isascii():
        return True
    return _SEVEN_DIGITS in text.encode().translate(_DIGITS_TO_ZERO, _SEPARATORS)


def _digits(text: str) -> str:
    if text.isascii():
        return text.encode().translate(None, _NO_DIGITS).decode()
    return "".join(str(int(character)) for character in text if character.isdecimal())


def _phone_digits(phone: str) -> str:
    return _digits(phone).removeprefix("00")


_ALIKE: Mapping[str, Callable[[str], str]] = {
    "email": lambda email: email.strip().lower(),
    "phone": _phone_digits,
}

_NO_DIGITS = bytes(byte for byte in range(256) if byte not in b"0123456789")
_BLOCK = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))

_BRITISH_POSTAL_CODE = re.compile(r"([A-Z]{1,2}[0-9][A-Z0-9]?)\s*[0-9][A-Z]{2}")

_EMAIL = re.compile(r"[^\s@,;:<>()\[\]\"]+@[^\s@,;:<>()\[\]\"]+")
_SEPARATORS = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f.()/_-"
_GAP = r"[\s.()/_\u2010-\u2015-]{0,3}"
_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
_DATE = rf"(?:{_DAY}[/.-]{_MONTH}[/.-]{_YEAR}|{_YEAR}[/.-]{_MONTH}[/.-]{_DAY})(?![/._-]?\d)"
_NUMBER = re.compile(rf"(?P<date>{_DATE})|[+(]{{0,2}}\d(?:{_GAP}\d){{6,}}")
_THREE_GROUPS = re.compile(r"\d{3,4}\D{1,2}\d{3,4}\D{1,2}\d{3,4}")
_BRITISH_MOBILE = re.compile(r"7\d{3}\D\d{6}")
_LATER_GROUP = re.compile(rf"(?<!\d)0\d{{2,}}(?:{_GAP}\d)*")
_LONG_RUN = re.compile(r"\d{9}")
_GROUP = re.compile(r"\d+")

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_SEVEN_DIGITS = b"0000000"


def _scrub_number(match: re.Match[str]) -> str:
    text = match.group()
    if match["date"]:
        return text
    card = _card(text)
    if card:
        start, end = card
        return _NUMBER.sub(_scrub_number, text[:start]) + "[card]" + _NUMBER.sub(_scrub_number, text[end:])
    opened = text[0] in "+(" or _digits(text[0]) == "0"
    if opened or _LONG_RUN.search(text) or _is_grouped_phone(text):
        return "[phone]"
    later = _LATER_GROUP.search(text)
    return text[: later.start()] + "[phone]" if later and len(_digits(later.group())) >= FEWEST_LATER_DIGITS else text


def _is_grouped_phone(text: str) -> bool:
    if _BRITISH_MOBILE.fullmatch(text):
        return True
    return _THREE_GROUPS.fullmatch(text) is not None and len(_digits(text)) in (10, 11)


def _card(text: str) -> tuple[int, int] | None:
    groups = [group.span() for group in _GROUP.finditer(text)]
    for first, (start, _) in enumerate(groups):
        # The longest first: a card number's own beginning may pass the check by chance.
        for _, end in reversed(groups[first:]):
            digits = _digits(text[start:end])
            if 13 <= len(digits) <= 19 and _passes_luhn(digits):
                return start, end
    return None


def _passes_luhn(digits: Iterable[str]) -> bool:
    doubled = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    numbers = [int(digit) for digit in reversed(list(digits))]
    return (sum(numbers[::2]) + sum(doubled[number] for number in numbers[1::2])) % 10 == 0
