"""What each stage of the pipeline takes: clocks around its seams, in a pass of their own.

A stage's time is its own alone: what it calls of another stage counts there. Each thread has its own clock, of CPU.
What the clocks themselves take is measured first and taken off.
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
from benchmarks.alerts_contract import CLUSTERED, ENCODED, FLOWED, PUT, READ, REST, STATE, TOLD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEAMS: tuple[tuple[object, str, str], ...] = (
    (runtime, "read_event", READ),
    (Splitter, "split", READ),
    (processor, "decode_column", READ),
    (pipeline, "read_record", READ),
    (TechniqueResolver, "resolve", TOLD),
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
_CALLS = 20_000  # with which the clocks' own time is measured


class Stages:
    """The CPU of each stage, while its clocks are on.

    Attributes:
        seconds: CPU by stage, without what the clocks took.
    """

    def __init__(self) -> None:
        """Starts with nothing measured."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._threads = threading.local()
        self._calls: dict[str, int] = defaultdict(int)
        self._inside_s = self._around_s = 0.0  # of a call: what a clock adds to its own stage, and around it
        self._measure_clocks()

    @contextlib.contextmanager
    def clocks(self) -> Iterator[None]:
        """Puts a clock at each seam, and takes it off."""
        with contextlib.ExitStack() as stack:
            for owner, name, stage in SEAMS:
                stack.enter_context(mock.patch.object(owner, name, self._timed(getattr(owner, name), stage)))
            yield

    def of(self, cpu_s: float) -> dict[str, float]:
        """The stages of a pass that took so much CPU with its clocks; what no seam has is the rest."""
        clocks_s = sum(self._calls.values()) * (self._inside_s + self._around_s)
        return {**self.seconds, REST: max(0.0, cpu_s - clocks_s - sum(self.seconds.values()))}

    def _timed(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        seconds, calls, threads = self.seconds, self._calls, self._threads

        @functools.wraps(call)
        def timed(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the seam takes and gives
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
        """What a clock adds, from calls of something that takes no time."""

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
