"""The environment variable of the pipeline `model`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.settings import about


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The variable of the pipeline `model`."""

    model_name: Annotated[str, about("the name of the model bundle that the pipeline `model` runs")] = ""
