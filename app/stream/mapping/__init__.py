"""The local event source mapping: Lambda's way from a Kinesis stream to a function, with AWS's own settings.

`settings` has its settings, `template` reads them from a file, `driver` runs the mapping. docs/local-mapping.md lists
every rule with its source and its test, and the questions that AWS leaves open.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.stream.mapping.driver import Mapping
    from app.stream.mapping.event import EVENT_BYTES, build_event
    from app.stream.mapping.invoke import first_failure
    from app.stream.mapping.settings import REPORT_FAILURES, MappingSettings
    from app.stream.mapping.settling import BatchReport

__all__ = [
    "EVENT_BYTES",
    "REPORT_FAILURES",
    "BatchReport",
    "Mapping",
    "MappingSettings",
    "build_event",
    "first_failure",
]

_HOMES = {
    "BatchReport": "settling",
    "EVENT_BYTES": "event",
    "Mapping": "driver",
    "MappingSettings": "settings",
    "REPORT_FAILURES": "settings",
    "build_event": "event",
    "first_failure": "invoke",
}


def __getattr__(name: str) -> object:
    """Import a name's module with its first use: an event is built without what reading a stream needs."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
