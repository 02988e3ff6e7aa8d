"""Compare the results of a run with Millrace's aims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.alerts_report import alert_aims
from benchmarks.contract import MILLRACE
from benchmarks.models import LINEAR, TREES
from benchmarks.throughput import ACKNOWLEDGED, CPU, FULL

if TYPE_CHECKING:
    from benchmarks.results import Results
    from benchmarks.start import Start

TIMES_POWERTOOLS = {LINEAR: 50, TREES: 130}  # on the full event
TIMES_FLOOR = 5  # with botocore's signer
TIMES_SEQUENTIAL = 10  # a full event to acknowledged, 15 ms a call
INIT_MS, READY_MB = 400, 110
FUNCTION_MB = 256  # the function's memory in the seed document


@dataclass(frozen=True)
class Aim:
    """An aim with its result; `met` is None if the run did not measure it."""

    text: str
    found: str
    met: bool | None


def aims(results: Results) -> list[Aim]:
    """Return the aims that this run has figures for."""
    found: list[Aim] = []
    for figure in results.figures:
        if figure.candidate != MILLRACE or figure.event != FULL:
            continue
        if figure.part == CPU:
            bound = TIMES_POWERTOOLS[figure.model]
            found.append(_at_least(f"full event, {figure.model}: {bound} times (b)", figure.vs_powertools, bound))
        if figure.part == CPU and figure.model == LINEAR:
            text = f"full event, linear: at most {TIMES_FLOOR} times the floor"
            times = figure.times_floor
            known = times is not None
            found.append(
                Aim(text, f"{times:.1f}" if known else f"no floor: {results.floor}", _below(times, TIMES_FLOOR))
            )
        if figure.part == ACKNOWLEDGED and figure.model == LINEAR:
            text = f"acknowledged, linear: {TIMES_SEQUENTIAL} times (s)"
            found.append(_at_least(text, figure.vs_sequential, TIMES_SEQUENTIAL))
    for start in results.starts:
        if start.candidate == MILLRACE:
            found += _of_start(start)
    return found + [Aim(*each) for each in alert_aims(results.alerts)]


def _of_start(start: Start) -> list[Aim]:
    init = f"{start.init_ms:.0f} ms, {start.init_cpu_ms:.0f} of them CPU"
    return [
        Aim(f"INIT, {start.model}: under {INIT_MS} ms", init, _below(start.init_ms, INIT_MS)),
        _memory(f"after INIT, {start.model}: under {READY_MB} MB", start.ready_mb, READY_MB),
        _memory(f"a full event, {start.model}: within {FUNCTION_MB} MB", start.peak_mb, FUNCTION_MB),
    ]


def _at_least(text: str, found: float | None, bound: float) -> Aim:
    return Aim(text, "?" if found is None else f"{found:.1f}", None if found is None else found >= bound)


def _memory(text: str, found_mb: float | None, bound_mb: float) -> Aim:
    return Aim(text, "not known here" if found_mb is None else f"{found_mb:.0f} MB", _below(found_mb, bound_mb))


def _below(found: float | None, bound: float) -> bool | None:
    return None if found is None else found <= bound
