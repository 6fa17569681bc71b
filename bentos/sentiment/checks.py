"""What must hold of the accepted, masked sentences as a whole: the Great Expectations suite, and the table it looks at.

One sentence at a time is the contract's business; here stands what only many of them show: shares and repeats.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from bentos.common import ndjson
from bentos.common.expectations import because
from bentos.sentiment.contract import Masked, Source
from bentos.sentiment.features import words

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite


def suite() -> ExpectationSuite:
    """The expectations, each with the reason for it in `meta.why`."""
    import great_expectations.expectations as gxe
    from great_expectations import ExpectationSuite

    return ExpectationSuite(
        name="sentiment",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=1_000, **because("Fewer leave under 200 sentences to judge a model by.")
            ),
            gxe.ExpectColumnValuesToBeUnique(
                column="words", **because("A sentence that stands twice counts twice, and could be in two sets.")
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="source", value_set=list(get_args(Source)), **because("Another source has other words.")
            ),
            gxe.ExpectColumnUniqueValueCountToBeBetween(
                column="source", min_value=3, **because("Without one of the sources, its words are not learned.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="is_positive",
                min_value=0.4,
                max_value=0.6,
                **because("Both labels are as frequent; a lopsided batch is a broken join of texts and labels."),
            ),
            gxe.ExpectColumnMedianToBeBetween(
                column="length", min_value=5, max_value=25, **because("Sentences, not whole reviews and not words.")
            ),
            gxe.ExpectColumnValuesToBeBetween(
                column="length", min_value=1, mostly=0.99, **because("A text without words has nothing to learn from.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="ascii_share",
                min_value=0.95,
                **because("The model is English; mangled encodings and other scripts show here."),
            ),
        ],
    )


def frame(masked: Path) -> pd.DataFrame:
    """One row a sentence: its words, how many, and its label."""
    import pandas as pd

    return pd.DataFrame([_row(sentence) for sentence in ndjson.read(masked, Masked)])


def _row(sentence: Masked) -> dict[str, Any]:
    said = words(sentence.text)
    return {
        "sentence_id": sentence.sentence_id,
        "source": sentence.source,
        "words": said,
        "length": len(said.split()),
        "characters": len(sentence.text),
        "ascii_share": sum(sign.isascii() for sign in sentence.text) / len(sentence.text),
        "label": sentence.label,
        "is_positive": float(sentence.label == "positive"),
    }
