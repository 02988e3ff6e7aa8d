"""Opening a logged model: the only place in Millrace that may open a pickle, and only when told to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mlflow.sklearn
import skops.io

from app.errors import ModelError
from model.importing.affine import kind_of
from model.importing.source import first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from model.importing.source import Logged

_SEARCHES = {"GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"}


def open_estimator(logged: Logged, say: Callable[[str], None], *, allow_pickle: bool) -> Any:  # noqa: ANN401
    """The fitted scikit-learn estimator of a logged model.

    A file in skops's format is opened without a flag as long as it holds only what skops itself calls safe.

    Args:
        logged: What was logged.
        say: Takes a line for the user.
        allow_pickle: Whether what may run code, or crash the process, may be opened.

    Raises:
        ModelError: It may not be opened, or cannot.
    """
    name = logged.file.name
    try:
        if logged.format == "skops":
            types = sorted(skops.io.get_untrusted_types(file=logged.file))
            danger = f"{name} holds {', '.join(types)}, which skops does not call safe"
        else:
            types, danger = [], f"{name} is a pickle: opening it runs whatever code its writer put there"
    except Exception as error:  # noqa: BLE001 - whatever a broken archive makes skops raise
        raise ModelError(f"{logged.source}: {name} cannot be read: {first_line(error)}") from None
    if logged.format != "skops" or types:
        if not allow_pickle:
            raise ModelError(f"{logged.source}: {danger}; add --allow-pickle if you trust who wrote it")
        say(f"{danger}; opened, as --allow-pickle says")
    try:
        if logged.format == "skops":
            estimator = skops.io.load(logged.file, trusted=types)
        else:
            estimator = mlflow.sklearn.load_model(str(logged.folder))
    except Exception as error:  # noqa: BLE001 - a pickle may raise anything
        why = f"{type(error).__name__}: {first_line(error)}"
        raise ModelError(f"{logged.source}: {name} cannot be opened: {why}; is what it needs installed?") from None
    return estimator.best_estimator_ if kind_of(estimator) in _SEARCHES else estimator
