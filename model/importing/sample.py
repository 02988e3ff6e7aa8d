"""Rows to compare a model with its conversion on."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd

from app.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from app.inference.manifest import Field
    from model.importing.source import Logged

DRAWN_ROWS = 1000  # enough to visit most leaves of most trees, and a second's work
_MISSING = 0.1  # of an optional field's drawn values
_FLAGS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows to compare on.

    Attributes:
        given: Rows that the user or the model gave, shape (rows, features), NaN where missing.
        drawn: Rows drawn at random.
        told: What they are, for the user.
    """

    given: NDArray[np.float64]
    drawn: NDArray[np.float64]
    told: str


def gather(logged: Logged, signature: Sequence[Field], file: Path | None) -> Sample:
    """The model's input example and the user's file, where there are such, and rows drawn around them.

    Raises:
        SettingsError: The file is not a table of these features.
    """
    parts, told = [], []
    example = _example(logged, signature)
    if example is not None:
        parts.append(example)
        told.append(f"{len(example)} rows of its input_example")
    if file is not None:
        parts.append(_read(file, signature))
        told.append(f"{len(parts[-1])} rows of {file.name}")
    given = np.vstack(parts) if parts else np.empty((0, len(signature)))
    drawn = draw(signature, given)
    around = "drawn around them" if parts else "drawn from the signature's types (give --sample for better ones)"
    told.append(f"{len(drawn)} {around}")
    return Sample(given, drawn, " and ".join(told))


def draw(signature: Sequence[Field], given: NDArray[np.float64], rows: int = DRAWN_ROWS) -> NDArray[np.float64]:
    """Rows of these types, the same each time: values that were given, half of them moved; else of any magnitude."""
    chance = np.random.default_rng(0)
    columns = []
    for place, field in enumerate(signature):
        known = given[:, place]
        known = known[np.isfinite(known)]
        if len(known):
            spread = known.std() or abs(known[0]) or 1.0
            values = chance.choice(known, rows) + spread * chance.normal(size=rows) * chance.integers(0, 2, rows)
        else:
            values = chance.normal(size=rows) * 10 ** chance.uniform(-1, 3, rows)
        if field.type in {"long", "integer"}:
            values = np.rint(values)
        elif field.type == "boolean":
            values = chance.integers(0, 2, rows).astype(np.float64)
        if not field.required:
            values[chance.random(rows) < _MISSING] = np.nan
        columns.append(values)
    return np.stack(columns, axis=1)


def frame(model: Any, names: Sequence[str], rows: NDArray[np.float64]) -> Any:  # noqa: ANN401 - a DataFrame or a matrix
    """Rows as the model was fitted: with names or without."""
    return pd.DataFrame(rows, columns=list(names)) if hasattr(model, "feature_names_in_") else rows


def _example(logged: Logged, signature: Sequence[Field]) -> NDArray[np.float64] | None:
    """The input example that was logged with the model, if it is a table of its features."""
    try:
        found = logged.model.load_input_example(str(logged.folder))
        if isinstance(found, pd.DataFrame):
            found = found[[field.name for field in signature]]
        table = np.asarray(found, np.float64)
    except Exception:  # noqa: BLE001 - MLflow writes examples of many kinds; one that is no table is none
        return None
    return table if table.ndim == 2 and table.shape[1] == len(signature) else None  # noqa: PLR2004 - a table


def _read(file: Path, signature: Sequence[Field]) -> NDArray[np.float64]:
    """A CSV with a header, or JSON lines: objects of features, or records as on the stream."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--sample {file}: cannot be read: {error}") from None
    rows: list[list[float]] = []
    try:
        table: list[dict[str, Any]] = (
            [_features(line) for line in text.splitlines() if line.strip()]
            if text.lstrip().startswith("{")
            else list(csv.DictReader(io.StringIO(text)))
        )
        rows.extend([_number(row, field) for field in signature] for row in table)
    except (ValueError, TypeError, AttributeError, msgspec.MsgspecError) as error:
        raise SettingsError(f"--sample {file}: row {len(rows) + 1}: {error}") from None
    if not rows:
        raise SettingsError(f"--sample {file}: has no rows; write a CSV with a header, or JSON lines")
    return np.array(rows, np.float64)


def _features(line: str) -> dict[str, Any]:
    row = msgspec.json.decode(line)
    found: dict[str, Any] = row.get("features", row)
    return found


def _number(row: dict[str, Any], field: Field) -> float:
    value = row.get(field.name)
    if value is None or value == "":
        if field.required:
            raise ValueError(f"{field.name} is missing")
        return float("nan")
    return _FLAGS[value.lower()] if isinstance(value, str) and value.lower() in _FLAGS else float(value)
