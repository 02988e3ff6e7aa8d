"""Train the technique model and write its bundle: `python -m model.technique.train --data FOLDER`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.errors import CloudError, SettingsError
from model.command import run_command

ROOT = Path(__file__).parents[2]


def train(
    data: Annotated[Path | None, typer.Option(help="The folder of the training texts.", show_default=False)] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Where the bundle goes, in a folder named after the run.", show_default="model/bundles/technique"
        ),
    ] = ROOT / "model" / "bundles" / "technique",
) -> None:
    """Train the technique model on all texts and write a bundle.

    The run's id is a digest of the model's files: equal texts, options and libraries give an equal id.
    """
    if data is None:
        raise SettingsError("no texts to train on: give their folder with --data")
    try:
        from model.technique import export  # noqa: PLC0415 - the training packages: --help needs none of them
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is missing: `./scripts/train.sh --help` installs the training packages"
        ) from None
    try:
        export.write(data, out, print)
    except CloudError as error:
        raise SettingsError(f"{error}: give another folder with --out") from None


if __name__ == "__main__":
    run_command("train", train)
