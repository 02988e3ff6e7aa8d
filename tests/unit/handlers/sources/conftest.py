from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.handlers.invocation import process_settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _own_settings() -> Iterator[None]:
    """The environment of this test, and of no other."""
    process_settings.cache_clear()
    yield
    process_settings.cache_clear()
