"""`model evaluate`: how good a shipped model is on data that it has not seen, by the method its README describes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from app.errors import SettingsError

EVALUATED = ("technique", "cluster", "flow")
"""The models that have an evaluation of their own: `model/<name>/evaluate.py`."""

Name = Annotated[str, typer.Argument(help=f"Which model: {', '.join(EVALUATED)}.")]
Data = Annotated[
    Path | None,
    typer.Option(
        envvar="ALERTS_DATA", help="The folder with the data sets that the model's README names.", show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of tables.")]


def evaluate_one(name: Name, data: Data = None, as_json: AsJson = False) -> None:
    """Measure a model: both the kind split and the hard one, beside what was aimed at.

    Run it as scripts/evaluate_model.sh, which makes the environment that it needs.
    """
    if name not in EVALUATED:
        raise SettingsError(f"no evaluation of {name!r}: give one of {', '.join(EVALUATED)}")
    if data is None:
        raise SettingsError(f"no data: name the folder with --data or ALERTS_DATA; model/{name}/README.md says which")
    if not data.is_dir():
        raise SettingsError(f"{data}: is not a folder")
    try:
        module: Any = importlib.import_module(f"model.{name}.evaluate")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is missing: run `./scripts/evaluate_model.sh {name} …`, which installs what evaluation "
            f"needs, instead of `millrace model evaluate {name} …`"
        ) from None
    try:
        report = module.evaluate(data)
    except OSError as error:
        raise SettingsError(f"{error.filename}: cannot be read: {error.strerror}") from None
    if as_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        module.print_report(report)
