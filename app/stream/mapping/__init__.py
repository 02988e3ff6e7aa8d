"""The local event source mapping: Lambda's way from a Kinesis stream to a function, with AWS's own settings.

`settings` has its settings, `template` reads them from a file, `driver` runs the mapping. docs/local-mapping.md lists
every rule with its source and its test, and the questions that AWS leaves open.
"""

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
