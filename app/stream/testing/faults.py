"""Plans of faults: which fault meets which call, counted so that a run can report which it has met.

A fault is identified by its step (the kind of call), its kind, and the number of the first call that it meets.
So a plan is data: it can be printed, replayed and made smaller.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.stream.testing.simulation import SimulatedCrash

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

CRASH_BEFORE, CRASH_AFTER = "crash before", "crash after"
ERROR, LATE_ERROR, SLOW, HANG = "error", "time-out after the write", "slow", "no answer"
ARRIVES_LATER = "time-out, the write comes later"
THROTTLED, SOME_THROTTLED, CONTRADICTION = "throttled", "some entries throttled", "answer that contradicts itself"
STOLEN, UNREADABLE, CONFLICT = "lease stolen", "unreadable", "conflict"
REFUSED = "credentials refused"
EXPIRED, EMPTY, FEW = "expired iterator", "empty answer", "few records"
LOST_ANSWER = "lost answer"

KINDS: dict[str, tuple[str, ...]] = {
    "put": (
        SOME_THROTTLED, THROTTLED, ERROR, LATE_ERROR, ARRIVES_LATER, CONTRADICTION, SLOW, HANG, CRASH_BEFORE,
        CRASH_AFTER, REFUSED,
    ),
    "put to quarantine": (SOME_THROTTLED, ERROR, LATE_ERROR, HANG, CRASH_BEFORE, CRASH_AFTER),
    "load state": (ERROR, SLOW, UNREADABLE, STOLEN, CRASH_BEFORE, CRASH_AFTER),
    "commit state": (ERROR, LATE_ERROR, SLOW, CONFLICT, STOLEN, CRASH_BEFORE, CRASH_AFTER),
    "put object": (ERROR, LATE_ERROR, SLOW, CRASH_BEFORE, CRASH_AFTER),
    "get object": (ERROR, SLOW, CRASH_BEFORE),
    "get records": (THROTTLED, ERROR, EXPIRED, EMPTY, FEW, SLOW, REFUSED),
    "get iterator": (THROTTLED, ERROR),
    "list shards": (THROTTLED, ERROR),
    "invoke": (THROTTLED, CRASH_BEFORE, CRASH_AFTER, LOST_ANSWER, STOLEN),
    "save checkpoint": (CRASH_BEFORE, CRASH_AFTER),
}  # fmt: skip
"""The faults of each step."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a plan.

    Attributes:
        step: The kind of call that it meets.
        kind: What happens.
        call: The first call of that step that it meets, counted from 0.
        times: How many calls in a row.
    """

    step: str
    kind: str
    call: int = 0
    times: int = 1

    @property
    def is_ambiguous(self) -> bool:
        """Return whether a write may take place although its caller sees a fault."""
        return self.kind in {LATE_ERROR, ARRIVES_LATER, HANG, SLOW, CONTRADICTION}

    def __str__(self) -> str:
        """Return the fault in words."""
        more = f" to {self.call + self.times - 1}" if self.times > 1 else ""
        return f"{self.kind} at `{self.step}` {self.call}{more}"


@dataclass(slots=True)
class FaultPlan:
    """Faults for the calls of one run.

    Attributes:
        faults: The plan.
        calls: How many calls of each step were made.
        fired: How often each fault was met, by step and kind.
        on_fault: Called with each fault that is met.
        enabled: Whether calls are counted and meet faults.
    """

    faults: Sequence[Fault] = ()
    calls: Counter[str] = field(default_factory=Counter)
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    on_fault: Callable[[Fault], object] = lambda _fault: None
    enabled: bool = True
    _by_step: dict[str, list[Fault]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the plan by step."""
        for fault in self.faults:
            self._by_step.setdefault(fault.step, []).append(fault)

    def add(self, step: str, kind: str, *, call: int = 0, times: int = 1) -> None:
        """Add a fault to the plan.

        Args:
            step: The kind of call, one of `KINDS`.
            kind: One of the step's faults.
            call: The first call of the step that it meets, counted from 0.
            times: How many calls in a row.

        Raises:
            ValueError: There is no such step, or no such fault of it.
        """
        if kind not in KINDS.get(step, ()):
            known = ", ".join(map(repr, KINDS.get(step, KINDS)))
            raise ValueError(
                f"no {'fault ' + repr(kind) + ' of ' if step in KINDS else 'step '}{step!r}: one of {known}"
            )
        fault = Fault(step, kind, call, times)
        self.faults = [*self.faults, fault]
        self._by_step.setdefault(step, []).append(fault)

    def unmet(self) -> list[Fault]:
        """Return the faults that no call has met."""
        return [fault for fault in self.faults if self.calls[fault.step] <= fault.call]

    def enable(self) -> None:
        """Count calls from now on."""
        self.enabled = True

    def at(self, step: str) -> str:
        """Count a call and return the kind of the fault that it meets, or an empty string.

        Raises:
            SimulatedCrash: The process ends before the call.
        """
        if not self.enabled:
            return ""
        call = self.calls[step]
        self.calls[step] += 1
        for fault in self._by_step.get(step, ()):
            if fault.call <= call < fault.call + fault.times:
                self.fired[step, fault.kind] += 1
                self.on_fault(fault)
                if fault.kind == CRASH_BEFORE:
                    raise SimulatedCrash(str(fault))
                return fault.kind
        return ""


def random_faults(rng: random.Random, steps: Sequence[str]) -> list[Fault]:
    """Return a plan for some steps: often a few faults, sometimes none, some of them met several times in a row."""
    found = []
    for _ in range(rng.choice((0, 1, 1, 2, 2, 3, 4, 6))):
        step = rng.choice(steps)
        kind = rng.choice(KINDS[step])
        times = rng.choice((1, 1, 1, 2, 3, 5)) if kind not in {STOLEN, HANG} else 1
        found.append(Fault(step, kind, int(rng.expovariate(0.3)), times))
    return found
