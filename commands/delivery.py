"""`bakehouse deliver`: the laptop's delivery."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def deliver(
    environments: Annotated[
        list[str] | None, typer.Argument(metavar="[ENV]...", help="These environments only.", show_default=False)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Bring everything up once, then stop it and return.")] = False,
) -> None:
    """Make this machine's processes follow git, until Ctrl-C."""
    import logging

    from gitops.delivery import deliver as act

    logging.basicConfig(level="INFO", format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    act(environments or (), once=once)
