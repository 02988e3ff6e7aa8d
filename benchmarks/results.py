"""All that a run found, for the tables, the aims and the JSON file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.alerts_contract import AlertResults
    from benchmarks.api import ApiResults
    from benchmarks.put_records import Call
    from benchmarks.start import Start
    from benchmarks.throughput import Figure


@dataclass
class Results:
    """All that a run found.

    Attributes:
        figures: The tables of events.
        starts: The table of starts.
        calls: The table of PutRecords calls.
        api: The tables of the API; None where it was not measured.
        alerts: The tables of the alerts; None where they were not measured.
        floor: Empty, or why there is no floor.
        agreed: How many predictions were compared before anything was timed; all agreed.
        image_mb: The image's size.
        image: Its name, or why there is none.
    """

    figures: list[Figure] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    api: ApiResults | None = None
    alerts: AlertResults | None = None
    floor: str = ""
    agreed: int = 0
    image_mb: float | None = None
    image: str = ""
