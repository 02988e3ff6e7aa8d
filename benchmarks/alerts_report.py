"""Print the alerts' tables, and compare the results with the aims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.alerts_contract import CLUSTER, KNOWN, LARGE, NEW, SKLEARN, TECHNIQUE
from benchmarks.words import megabytes, milliseconds, times

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.alerts_contract import AlertResults, Growth

NEW_A_SECOND, KNOWN_A_SECOND, CLUSTERED_A_SECOND = 20_000, 300_000, 50_000  # on one core
LINEAR = 1.05  # the exponent of CPU that still counts as linear: a tenth more at ten times the alerts
BOUNDED = 0.1  # the exponent of the state's bytes between the last two points
KIB = 1024


def show_alerts(results: AlertResults | None, console: Console) -> None:
    """Print the tables if the alerts were measured."""
    if results is None:
        return
    console.print(_texts(results))
    console.print(f"scikit-learn: {results.corpus}; speed and memory alone are compared", highlight=False)
    console.print(_holders(results))
    console.print(_pairs(results))
    console.print(_pipeline(results))
    console.print(_stages(results))
    for growth in results.growth:
        console.print(_growth(growth, results.source))
    console.print(f"{results.agreed} answers and outputs compared before timing; all agreed", highlight=False)


def alert_aims(results: AlertResults | None) -> list[tuple[str, str, bool]]:
    """Return each aim with its result and whether it is met."""
    if results is None:
        return []
    speeds = {(each.workload, each.candidate, each.batch): each.a_second for each in results.texts}
    clustered = next(each.a_second for each in results.pairs if each.candidate == CLUSTER)
    found = [
        _at_least("techniques of new texts", speeds[NEW, TECHNIQUE, LARGE], NEW_A_SECOND),
        _at_least("techniques of known texts", speeds[KNOWN, TECHNIQUE, LARGE], KNOWN_A_SECOND),
        _at_least("clustering alone", clustered, CLUSTERED_A_SECOND),
    ]
    for growth in results.growth:
        last = growth.points[-1]
        found.append(
            (
                f"{growth.shape}, to {last.alerts:,}: CPU grows with exponent {LINEAR} at most",
                f"{growth.cpu_slope:.2f}",
                growth.cpu_slope <= LINEAR,
            )
        )
        state = f"{growth.state_slope:.2f}, {last.state_bytes / KIB:,.0f} KiB"
        text = f"{growth.shape}, to {last.alerts:,}: state bounded, exponent {BOUNDED} at most at the end"
        found.append((text, state, growth.state_slope <= BOUNDED))
    return found


def _at_least(text: str, found: float, bound: int) -> tuple[str, str, bool]:
    return f"{text}: {bound:,} a second on one core", f"{found:,.0f}", found >= bound


def _table(title: str, *columns: str, named: int = 1) -> Table:
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < named else "right", no_wrap=number < named)
    return table


def _texts(results: AlertResults) -> Table:
    columns = ("texts", "a call", "CPU µs", "wall µs", "a second", "vs (k) 2,000", "passes", "of")
    table = _table("alerts: techniques of a text; ratios of CPU", "", *columns, named=2)
    for number, figure in enumerate(results.texts):
        if number and figure.workload != results.texts[number - 1].workload:
            table.add_section()
        table.add_row(
            figure.title,
            figure.workload,
            f"{figure.batch:,}",
            milliseconds(figure.cpu_us),
            milliseconds(figure.wall_us),
            f"{figure.a_second:,.0f}",
            times(figure.vs_sklearn),
            str(figure.passes),
            f"{figure.alerts:,}",
            style="" if figure.candidate == SKLEARN else "bold",
        )
    return table


def _holders(results: AlertResults) -> Table:
    columns = ("techniques", "features", "modules", "ready, CPU ms", "MB then", "peak MB")
    table = _table("alerts: resolvers of techniques, and their memory", "", *columns)
    for each in results.holders:
        table.add_row(
            each.title,
            f"{each.labels:,}",
            f"{each.features:,}",
            f"{each.modules:,}",
            milliseconds(each.ready_ms),
            megabytes(each.ready_mb),
            megabytes(each.peak_mb),
            style="" if each.candidate == SKLEARN else "bold",
        )
    return table


def _pairs(results: AlertResults) -> Table:
    columns = ("alerts", "CPU µs", "a second", "vs (n)", "clusters", "Rand, (n)", "passes")
    table = _table("alerts: clustering alone; ratios of CPU", "", *columns)
    for each in results.pairs:
        table.add_row(
            each.title,
            f"{each.alerts:,}",
            milliseconds(each.cpu_us),
            f"{each.a_second:,.0f}",
            times(each.times_pairwise),
            f"{each.clusters:,}",
            f"{each.agreement:.3f}",
            str(each.passes),
            style="bold" if each.candidate == CLUSTER else "",
        )
    return table


def _pipeline(results: AlertResults) -> Table:
    columns = ("alerts", "an event", "CPU µs", "wall µs", "a second", "outputs by role", "state KiB", "peak MB")
    title = f"alerts: the whole pipeline, event bytes to signed requests; {results.source} alerts"
    table = _table(title, "", *columns)
    for each in results.pipeline:
        table.add_row(
            each.shape,
            f"{each.alerts:,}",
            f"{each.per_event:,}",
            milliseconds(each.cpu_us),
            milliseconds(each.wall_us),
            f"{each.a_second:,.0f}",
            " / ".join(f"{count:,}" for count in each.outputs.values()),
            f"{each.state_bytes / KIB:,.0f}",
            megabytes(each.peak_mb),
        )
    return table


def _stages(results: AlertResults) -> Table:
    table = _table("alerts: the pipeline's stages, with clocks in them", "", "CPU µs an alert", "share")
    for each in results.stages:
        table.add_row(each.stage, milliseconds(each.cpu_us), f"{each.share:.0%}")
    return table


def _growth(growth: Growth, source: str) -> Table:
    title = f"alerts: growth, {growth.shape} ({source}); CPU exponent {growth.cpu_slope:.2f}"
    table = _table(title, "alerts", "CPU s", "wall s", "CPU µs an alert", "resident MB", "state KiB")
    for point in growth.points:
        table.add_row(
            f"{point.alerts:,}",
            milliseconds(point.cpu_s),
            milliseconds(point.wall_s),
            milliseconds(point.cpu_s / point.alerts * 1e6),
            megabytes(point.resident_mb),
            f"{point.state_bytes / KIB:,.0f}",
        )
    return table
