"""What several commands take: their arguments and options as types, and the repository that they all ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gitops.repository import GitopsRepository

Model = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL", show_default=False)]
AnyModel = Annotated[str | None, typer.Argument(help="One model only.", metavar="[MODEL]", show_default=False)]
Environment = Annotated[str, typer.Option("--env", "-e", help="The environment.", metavar="ENV", show_default=False)]
AnyEnvironment = Annotated[
    str | None, typer.Option("--env", "-e", help="One environment only.", metavar="ENV", show_default=False)
]
DEBUG = "--debug"
JSON = "--json"


def noted(context: typer.Context, option: typer.CallbackParam, value: bool) -> bool:
    """Note that an option was given which says how an error is shown: `main` alone meets errors."""
    if value:
        context.ensure_object(set).update(option.opts)
    return value


Json = Annotated[bool, typer.Option(JSON, help="Answer as JSON.", callback=noted)]


def repository() -> GitopsRepository:
    """The GitOps repository that the settings name."""
    from gitops.repository import GitopsRepository

    return GitopsRepository.open()
