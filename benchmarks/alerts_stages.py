"""Measure the CPU of each pipeline stage, with clocks around its calls, in a separate pass.

A stage's time excludes the stages that it calls. Each thread has its own CPU clock. The cost of the clocks is measured
first and subtracted.
"""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from unittest import mock

from app.domains.alerts import pipeline
from app.domains.alerts.clusters.clusters import Clusters
from app.domains.alerts.flows.flows import Flows
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.tenant import Tenant, TenantFactory
from app.stream import processor, runtime
from app.stream.aggregation_rows import Splitter
from app.stream.putrecords import SignedPutRecords
from app.stream.routing import OutcomeRouter
from benchmarks.alerts_contract import CLUSTERED, ENCODED, FLOWED, PUT, READ, RESOLVED, REST, STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMED_CALLS: tuple[tuple[object, str, str], ...] = (
    (runtime, "read_event", READ),
    (Splitter, "split", READ),
    (processor, "decode_chunk", READ),
    (pipeline, "read_record", READ),
    (TechniqueResolver, "resolve", RESOLVED),
    (Clusters, "add", CLUSTERED),
    (Clusters, "summary", CLUSTERED),
    (Flows, "update", FLOWED),
    (pipeline, "outputs_of", ENCODED),
    (Tenant, "dump", STATE),
    (TenantFactory, "tenant", STATE),
    (OutcomeRouter, "route", PUT),
    (OutcomeRouter, "finish", PUT),
    (SignedPutRecords, "put", PUT),
)
_CALLS = 20_000  # to measure the cost of the clocks with


class Stages:
    """Measures the CPU of each stage while its clocks are on.

    Attributes:
        seconds: CPU by stage, without the cost of the clocks.
    """

    def __init__(self) -> None:
        """Measure the cost of the clocks."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._threads = threading.local()
        self._calls: dict[str, int] = defaultdict(int)
        self._inside_s = self._around_s = 0.0  # a call: the clock's cost within its own stage, and around it
        self._measure_clocks()

    @contextlib.contextmanager
    def clocks(self) -> Iterator[None]:
        """Put a clock around each timed call, and remove it at the end."""
        with contextlib.ExitStack() as stack:
            for owner, name, stage in TIMED_CALLS:
                stack.enter_context(mock.patch.object(owner, name, self._timed(getattr(owner, name), stage)))
            yield

    def of(self, cpu_s: float) -> dict[str, float]:
        """Return the CPU of each stage of a pass that took `cpu_s` with the clocks; the rest has no clock."""
        clocks_s = sum(self._calls.values()) * (self._inside_s + self._around_s)
        return {**self.seconds, REST: max(0.0, cpu_s - clocks_s - sum(self.seconds.values()))}

    def _timed(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        seconds, calls, threads = self.seconds, self._calls, self._threads

        @functools.wraps(call)
        def timed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - the arguments and result of any call
            within: list[float] = threads.__dict__.setdefault("within", [])
            within.append(0.0)
            began = time.thread_time()
            try:
                return call(*arguments, **options)
            finally:
                spent = time.thread_time() - began
                seconds[stage] += spent - within.pop() - self._inside_s
                calls[stage] += 1
                if within:
                    within[-1] += spent + self._around_s

        return timed

    def _measure_clocks(self) -> None:
        """Measure the cost of a clock with calls of an empty function."""

        def nothing() -> None:
            pass

        timed = self._timed(nothing, "")
        began = time.thread_time()
        for _ in range(_CALLS):
            timed()
        clocked = time.thread_time()
        for _ in range(_CALLS):
            nothing()
        bare = time.thread_time()
        whole_s = ((clocked - began) - (bare - clocked)) / _CALLS
        self._inside_s = self.seconds.pop("") / _CALLS
        self._around_s = whole_s - self._inside_s
        self._calls.clear()
