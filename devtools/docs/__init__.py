"""Make the pages of `docs/` that come from the code: `python -m devtools.docs` rewrites them all.

A test compares each page with the code's current output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devtools.docs.alert_formats import alert_formats
from devtools.docs.exit_codes import exit_codes
from devtools.docs.handlers import handlers
from devtools.docs.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/alert-formats.md": alert_formats,
    "docs/exit-codes.md": exit_codes,
    "docs/handlers.md": handlers,
    "docs/settings.md": settings,
}
