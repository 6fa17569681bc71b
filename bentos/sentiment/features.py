"""From texts to the model's input, the same function in training and in the service.

Holds what counts as a word. The graph takes the words as one string each, parted by single spaces, and does the rest.
Training sees texts without addresses and numbers of people; so a text that is asked about loses them here, too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bentos.common.scrubbing import scrub

if TYPE_CHECKING:
    from bentos.sentiment.contract import Masked, Record, Request

_APOSTROPHES = re.compile("['`\u00b4\u02b9\u02bc\u2018\u2019\u2032\uff07]")
_WORD = re.compile(r"[^\W_]+")


def arrays(items: Sequence[Masked | Record | Request]) -> dict[str, NDArray[Any]]:
    """The input of the ONNX graph: `text`, strings of shape [len(items)]. The same for a record and for its masked
    one."""
    return {"text": np.array([words(scrubbed(item.text)) for item in items], dtype=object)}


def scrubbed(text: str) -> str:
    """The text without e-mail addresses, card and phone numbers, however often it was masked before."""
    # What one pass leaves beside a mark may look like a number to the next: only at the end are all of them alike.
    while (again := scrub(text)) != text:
        text = again
    return text


def words(text: str) -> str:
    """The words of a text in lower case, parted by single spaces.

    A word is a run of letters or digits of any script. Letters that differ in case, accent or width alone are alike
    ("Naïve", "naive"), and so are `don't` and `dont`: negations must not fall apart. Everything else parts words.
    """
    if not text.isascii():
        # Case folding can bring forth what decomposes further, and the other way round (Unicode 3.13, D146).
        folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
        text = "".join(sign for sign in folded if not unicodedata.combining(sign))
    return " ".join(_WORD.findall(_APOSTROPHES.sub("", text.lower())))
