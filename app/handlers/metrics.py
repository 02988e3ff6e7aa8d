"""The metrics of one invocation, written once when it ends, however it ends."""

from __future__ import annotations

import time
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from app import telemetry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LINE_METRICS = 100  # CloudWatch reads no more from one line of its embedded metric format


class Metrics:
    """Counts and durations, gathered under one set of dimensions.

    Names are in snake case; `success("copy")` gives `copy_success` and `copy_failure`, so that either can be summed or
    averaged into a rate.
    """

    def __init__(self, namespace: str, dimensions: Mapping[str, str]) -> None:
        """Start empty.

        Args:
            namespace: CloudWatch's.
            dimensions: Names and values; few, since each combination is a metric of its own.
        """
        self._namespace = namespace
        self._dimensions = dict(dimensions)
        self._counts: dict[str, float] = {}
        self._milliseconds: dict[str, float] = {}

    def dimension(self, name: str, value: str) -> None:
        """Add a dimension to all metrics of this invocation."""
        self._dimensions[name] = value

    def count(self, name: str, value: float = 1) -> None:
        """Add to a count."""
        self._counts[name] = self._counts.get(name, 0) + value

    @contextmanager
    def duration(self, name: str) -> Iterator[None]:
        """Add the milliseconds of a block to `<name>_duration`, also when it raises."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.milliseconds(f"{name}_duration", (time.perf_counter() - began) * 1000)

    def milliseconds(self, name: str, value: float) -> None:
        """Add to a duration in milliseconds."""
        self._milliseconds[name] = self._milliseconds.get(name, 0) + value

    def success(self, name: str) -> None:
        """Count one success, and no failure, of a step."""
        self.count(f"{name}_success")
        self.count(f"{name}_failure", 0)

    def failure(self, name: str) -> None:
        """Count one failure, and no success, of a step."""
        self.count(f"{name}_success", 0)
        self.count(f"{name}_failure")

    def measure(
        self,
        _namespace: str,
        dimensions: Mapping[str, str],
        counts: Mapping[str, float],
        milliseconds: Mapping[str, float],
    ) -> None:
        """Add a batch's metrics from the spine (`app.stream.runtime.Measure`), so that one line has them all."""
        self._dimensions.update(dimensions)
        for name, value in counts.items():
            self.count(name, value)
        for name, value in milliseconds.items():
            self.milliseconds(name, value)

    def flush(self) -> None:
        """Write the metrics gathered so far, and start again without them."""
        counts, milliseconds = self._counts, self._milliseconds
        self._counts, self._milliseconds = {}, {}
        for start in range(0, len(counts) + len(milliseconds), LINE_METRICS):
            after = start - len(counts)  # where the line begins among the durations, which follow the counts
            durations = islice(milliseconds.items(), max(0, after), max(0, after + LINE_METRICS))
            telemetry.emit_metrics(
                self._namespace,
                self._dimensions,
                dict(islice(counts.items(), start, start + LINE_METRICS)),
                {name: round(value, 3) for name, value in durations},
            )
