"""Print the API's tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from benchmarks.contract import API_MILLRACE
from benchmarks.words import megabytes, milliseconds, times

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.api import ApiFigure, ApiResults, ApiStart

_TITLES = {
    False: "API: an HTTP API's event to the response, JSON on both ends; ratios of CPU",
    True: "API: the same with a formula for the model: routing, validation and encoding alone",
}


def show_api(results: ApiResults | None, console: Console) -> None:
    """Print the tables of calls and of starts if they were measured."""
    if results is None:
        return
    for stubbed, title in _TITLES.items():
        console.print(_calls([figure for figure in results.figures if figure.stubbed == stubbed], title))
    console.print(f"{results.agreed} predictions compared before timing; all agreed", highlight=False)
    console.print(_starts(results.starts))


def _calls(figures: list[ApiFigure], title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("request", "status", "CPU µs", "wall µs", "vs (pt)", "passes"):
        table.add_column(name, justify="right")
    for number, figure in enumerate(figures):
        if number and figure.workload != figures[number - 1].workload:
            table.add_section()
        table.add_row(
            figure.title,
            figure.workload,
            str(figure.status),
            milliseconds(figure.cpu_us),
            milliseconds(figure.wall_us),
            times(figure.vs_powertools),
            str(figure.passes),
            style="bold" if figure.candidate == API_MILLRACE else "",
        )
    return table


def _starts(starts: list[ApiStart]) -> Table:
    table = Table(title="API: starting a process", title_justify="left")
    table.add_column("", no_wrap=True)
    for name in ("modules", "open ms", "INIT ms", "INIT CPU", "first answer ms", "MB then", "MB after"):
        table.add_column(name, justify="right")
    for start in starts:
        table.add_row(
            start.title,
            str(start.modules),
            milliseconds(start.open_ms),
            milliseconds(start.init_ms),
            milliseconds(start.init_cpu_ms),
            "-" if start.first_ms is None else milliseconds(start.first_ms),
            megabytes(start.ready_mb),
            "-" if start.after_mb is None else megabytes(start.after_mb),
            style="bold" if start.candidate == API_MILLRACE else "",
        )
    return table
