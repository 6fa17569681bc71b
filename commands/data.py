"""`bakehouse data`: batches put under DVC, what changed between two data versions, and the raw data of one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.options import Json, Model, repository
from gitops import display

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steps.data_comparison import DataComparison, Side

app = typer.Typer(
    help="Data versions: keep batches, see what changed between two, get one again.", no_args_is_help=True
)


@app.command()
def diff(
    old: Annotated[
        str,
        typer.Argument(metavar="OLD", help="A data version's hash, MODEL@VERSION or MODEL@ENV.", show_default=False),
    ],
    new: Annotated[
        str, typer.Argument(metavar="NEW", help="The same; VERSION or ENV alone is of OLD's model.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Show what changed between two data versions: counts and statistics, never a value."""
    from steps.data_comparison import compare
    from steps.data_references import pair

    found = compare(*pair(repository(), old, new))
    if as_json:
        display.document(_value(found))
        return
    if found.old.version == found.new.version:
        display.say(f"{old} and {new} are the same data version, {found.old.version}.")
        return
    display.table(("", display.short(found.old.version), display.short(found.new.version)), list(_sides(found)))
    for name, word in found.files.items():
        display.say(f"{name} {word}")
    records = found.records
    display.say(
        f"\nRecords by id: {records.added:,} added, {records.removed:,} removed, {records.changed:,} changed,"
        f" {records.same:,} the same.\n"
    )
    fields = [
        (it.name, _types(it.old_types), _types(it.new_types), f"{it.old_filled:.1%}", f"{it.new_filled:.1%}")
        for it in found.fields
    ]
    display.table(("field", "was", "is", "was filled", "is filled"), fields)
    if fields:
        display.say()
    shifts = [
        (it.name, it.kind, _mean(it.old_mean), _mean(it.new_mean), f"{it.psi:.3f}", f"{it.p_value:.2g}", it.verdict)
        for it in found.shifts
    ]
    display.table(("distribution", "of", "mean was", "mean is", "PSI", "p", "shift"), shifts)


@app.command()
def checkout(
    version: Annotated[
        str,
        typer.Argument(
            metavar="VERSION", help="A data version's hash, MODEL@VERSION or MODEL@ENV.", show_default=False
        ),
    ],
    folder: Annotated[
        Path,
        typer.Option("--to", metavar="FOLDER", help="A new or empty folder that git does not see.", show_default=False),
    ],
    as_json: Json = False,
) -> None:
    """Copy the raw data of a version to a folder that you alone can read: it holds personal data."""
    from steps.data_copies import copy
    from steps.data_references import resolve

    data = resolve(repository(), version)
    files = copy(data, folder)
    if as_json:
        display.document({"model": data.model, "version": data.version, "files": [str(file) for file in files]})
        return
    for file in files:
        display.say(str(file))


@app.command()
def add(
    model: Model,
    batches: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Batches of raw documents.", show_default=False)
    ],
    as_json: Json = False,
) -> None:
    """Keep batches in the data remote, and write a .dvc file beside each for git to hold."""
    from steps.data_pointers import add as keep

    kept = keep(model, batches)
    if as_json:
        display.document(kept)
        return
    for batch in batches:
        display.say(f"{batch}.dvc")
    display.say(f"Together they are data version {kept.version}.")


def _value(found: DataComparison) -> dict[str, object]:
    shifts = [{**asdict(shift), "verdict": shift.verdict or None} for shift in found.shifts]
    return {**asdict(found), "shifts": shifts, "files": found.files}


def _sides(found: DataComparison) -> Iterator[tuple[str, ...]]:
    old, new = found.old, found.new
    yield "named", old.said, new.said
    yield "files", str(len(old.files)), str(len(new.files))
    for name in ("documents", "accepted", "duplicates"):
        yield name, *(f"{getattr(side.acceptance, name):,}" for side in (old, new))
    yield "acceptance rate", *(f"{side.acceptance.acceptance_rate:.1%}" for side in (old, new))
    for name in ("earliest", "latest"):
        yield name, *(_time(getattr(side.acceptance, name)) for side in (old, new))
    refused = [_reasons(side) for side in (old, new)]
    for reason in sorted({*refused[0], *refused[1]}):
        yield f"refused, {reason}", *(f"{side.get(reason, 0):,}" for side in refused)


def _reasons(side: Side) -> dict[str, int]:
    return {f"{reason.field}: {reason.reason}": reason.documents for reason in side.acceptance.reasons}


def _time(moment: object) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _types(types: tuple[str, ...]) -> str:
    return " or ".join(types) or "never there"


def _mean(mean: float | None) -> str:
    return "" if mean is None else f"{mean:.4g}"
