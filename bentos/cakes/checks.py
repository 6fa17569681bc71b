"""What must hold of the accepted treats as a whole: the Great Expectations suite, and the table it looks at.

One treat at a time is the contract's business; here stands what only many of them show: shares and ranges.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bentos.cakes.contract import Masked, is_liked
from bentos.cakes.features import FEATURES, arrays
from bentos.common import ndjson
from bentos.common.expectations import because

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations import ExpectationSuite


def suite() -> ExpectationSuite:
    """The expectations, each with the reason for it in `meta.why`."""
    import great_expectations.expectations as gxe
    from great_expectations import ExpectationSuite

    return ExpectationSuite(
        name="cakes",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(
                min_value=60, **because("With fewer, five folds hold too few treats of each label.")
            ),
            gxe.ExpectColumnValuesToBeUnique(column="name", **because("A treat that stands twice counts twice.")),
            gxe.ExpectColumnMeanToBeBetween(
                column="is_liked",
                min_value=0.35,
                max_value=0.65,
                **because("In a duel one wins and one loses, so about half of all treats win more than half."),
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="won", min_value=45, max_value=55, **because("Percent, not shares; every duel has one winner.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="chocolate", min_value=0.2, max_value=0.7, **because("The flavour that says most must vary.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="fruit", min_value=0.2, max_value=0.7, **because("The flavour that says second most must vary.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="sugar", min_value=0.3, max_value=0.7, **because("Ranks among all treats centre on a half.")
            ),
            gxe.ExpectColumnMeanToBeBetween(
                column="price", min_value=0.3, max_value=0.7, **because("Ranks among all treats centre on a half.")
            ),
        ],
    )


def frame(masked: Path) -> pd.DataFrame:
    """One row a treat: its features, how often it won, and whether that makes it liked."""
    import pandas as pd

    treats = ndjson.read(masked, Masked)
    table = pd.DataFrame(arrays(treats)["features"].astype(float), columns=list(FEATURES))
    table.insert(0, "name", [treat.name for treat in treats])
    return table.assign(won=[treat.won for treat in treats], is_liked=[float(is_liked(treat)) for treat in treats])
