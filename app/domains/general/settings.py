"""The environment variable of the handlers for files."""

from __future__ import annotations

from typing import Annotated

import msgspec

from app.settings import about


class GeneralSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The variable of the handlers for files."""

    default_bucket_name: Annotated[
        str, about("the S3 bucket that `put-json-to-file` writes to when a request gives no path")
    ] = ""
