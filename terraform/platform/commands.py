"""`bakehouse platform`: write an environment's files from its contract. Only translates; the rest of the package is
imported when the command runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from bakehouse.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True, help="Write what follows from what an environment stands on.")

_Into = Annotated[
    Path | None, typer.Option("--into", help="Folder of the environments. Default: environments in the checkout.")
]


@app.callback()
def _group() -> None:
    """Keep `write` a sub-command though it is the only one."""


@app.command()
def write(
    environment: Annotated[str, typer.Argument(help="Environment, by the name of its folder.")],
    outputs: Annotated[
        Path | None,
        typer.Option(
            "--outputs",
            help="Folder with storage.json, cluster.json and identity.json: what `terraform output -json` prints in "
            "each. Without it, settings/platform.yaml of the environment is read as somebody wrote it.",
        ),
    ] = None,
    into: _Into = None,
) -> None:
    """Write stack.yaml and the platform's settings of an environment, from Terraform's outputs or its own contract, and
    choose them in its settings/kustomization.yaml."""
    from bakehouse import workspace
    from terraform.platform.aws import ROOTS, from_outputs
    from terraform.platform.chosen import SETTINGS, with_platform
    from terraform.platform.contract import FILE, read_contract
    from terraform.platform.files import contract_file, files

    folder = (into or workspace.root() / "environments") / environment
    if not folder.is_dir():
        raise ConfigurationError(f"There is no environment {environment}: {folder} is not a folder.")
    if outputs:
        platform = from_outputs(environment, {root: _load(outputs / f"{root}.json") for root in ROOTS})
        written: Mapping[str, str] = {**contract_file(platform), **files(platform)}
    else:
        platform = read_contract(folder / "settings" / FILE)
        written = files(platform)
    chosen = with_platform(folder / SETTINGS, environment=environment, namespace=platform.namespaces.services)
    for name, text in {**written, SETTINGS: chosen}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        typer.echo(str(path))


def _load(path: Path) -> dict[str, Any]:
    try:
        document: Any = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}.", "Write it by `terraform output -json`.") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"{path} is not what `terraform output -json` prints.")
    return document
