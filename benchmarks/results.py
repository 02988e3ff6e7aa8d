"""Define the results of a run, for the tables, the aims and the JSON file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.aggregation import Sent
    from benchmarks.alerts_contract import AlertResults
    from benchmarks.api import ApiResults
    from benchmarks.put_records import Call
    from benchmarks.start import Start
    from benchmarks.throughput import Figure


@dataclass
class Results:
    """The results of a run.

    Attributes:
        figures: The tables of events.
        starts: The table of starts.
        calls: The table of PutRecords calls.
        aggregation: The table of outputs that were aggregated, or not.
        api: The tables of the API; None if it was not measured.
        alerts: The tables of the alerts; None if they were not measured.
        floor: The reason why the floor is missing; empty if it was measured.
        agreed: Predictions that were compared before timing; all were equal.
        image_mb: The image's size, MB of 10^6 bytes; None if it is not known.
        image: The image's name, or the reason why its size is not known.
    """

    figures: list[Figure] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    aggregation: list[Sent] = field(default_factory=list)
    api: ApiResults | None = None
    alerts: AlertResults | None = None
    floor: str = ""
    agreed: int = 0
    image_mb: float | None = None
    image: str = ""
