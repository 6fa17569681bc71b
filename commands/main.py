"""The program `bakehouse`: its commands by name, and what becomes of an error. Each command parses, asks one function,
and shows the answer; nothing is decided here.

What a command needs is imported when it runs, so that `bakehouse --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from typer.core import TyperGroup

from bakehouse.errors import BakehouseError
from commands import changes, data, delivery, edge, images, options, questions, releases
from gitops import display
from terraform.platform import commands as platform
from terraform.policies import commands as governance

app = typer.Typer(
    name="bakehouse",
    help="Releases as commits: what answers where, why it was let in, and how it is undone.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
_COMMANDS: tuple[Callable[..., None], ...] = (
    questions.status,
    questions.history,
    questions.lineage,
    questions.diff,
    questions.board,
    changes.promote,
    changes.rollback,
    changes.adopt,
    changes.hold,
    delivery.deliver,
    images.image,
    edge.edge,
)
for command in _COMMANDS:
    app.command()(command)
app.add_typer(releases.app, name="release")
app.add_typer(data.app, name="data")
app.add_typer(governance.app, name="governance")
app.add_typer(platform.app, name="platform")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. What the user can act on becomes one red message and exit code 1, with `--json` an answer too."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    asked: set[str] = set()
    try:
        program()(given, prog_name="bakehouse", obj=asked)
    except BakehouseError as error:
        if options.DEBUG in asked:
            raise
        if options.JSON in asked:
            from gitops import answers

            display.document(answers.error_value(error))
        display.fail(str(error))
        sys.exit(1)


def program() -> TyperGroup:
    """All commands, each of which takes `--debug` as well: only their parsers know what is an option's value."""
    group = typer.main.get_group(app)
    (debug,) = [option for option in group.params if options.DEBUG in option.opts]
    groups = [group]
    while groups:
        for command in groups.pop().commands.values():
            command.params.append(debug)
            if isinstance(command, TyperGroup):
                groups.append(command)
    return group


def _show_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        display.say(f"bakehouse {version('bakehouse')}")
        raise typer.Exit


@app.callback()
def settings(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True),
    ] = False,
    _debug: Annotated[
        bool,
        typer.Option(options.DEBUG, help="Show the traceback of an error.", callback=options.noted, expose_value=False),
    ] = False,
) -> None:
    """Releases as commits: what answers where, why it was let in, and how it is undone."""


if __name__ == "__main__":
    main()
