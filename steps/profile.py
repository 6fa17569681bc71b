"""Profile the masked data set: distributions, missing values, associations and outliers, as one page with plots."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

from zenml import step

from bakehouse import workspace
from bentos.common.room import Room, load_room

SAMPLE_ROWS = 5


@step
def profile(model: str, masked: Path) -> Annotated[Path, "profile_report"]:
    """The report as one HTML file that needs no network."""
    return profile_room(load_room(model), masked, workspace.scratch("profile"))


def profile_room(room: Room, masked: Path, folder: Path) -> Path:
    """Every column of the frame that the room's checks read, plotted, with its outliers and associations."""
    # It speaks of every column of words that look like numbers.
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    from skrub import TableReport

    report = TableReport(
        room.checks.frame(masked),
        n_rows=SAMPLE_ROWS,
        title=f"{room.name}: accepted, masked records",
        verbose=0,
        plot_distributions=True,
        compute_associations=True,
        open_tab="distributions",
    )
    path = folder / "profile.html"
    path.write_text(report.html(), encoding="utf-8")
    return path
