"""`alerts tune`: how many incidents a day one's own alerts would give at other thresholds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table

from app.cli.terminal import counted, print_json_line, print_line, print_table
from app.domains.alerts.cli.commands import observed_alerts
from app.domains.alerts.cli.session import Session, quiet_pipe
from app.domains.alerts.cli.work import Work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domains.alerts.cli.commands import Given
    from app.domains.alerts.flows.config import FlowConfig
    from app.domains.alerts.incidents import Flow

DAY_S = 86_400.0
TRIED: dict[str, tuple[float, ...]] = {
    "risk_threshold": (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0),
    "tactic_threshold": (2, 3, 4, 5, 6),
    "critical_severity": (70, 80, 90, 95, 101),
}
"""Values of each setting; the least gives about all that is linked, the last hardly anything (101: no single alert)."""


class Tried(msgspec.Struct, frozen=True):
    """The outcome of one value of one setting, with all others as they are.

    Attributes:
        setting: The environment variable.
        value: Its value.
        present: Whether this is the present value.
        incidents: Number of incidents.
        incidents_a_day: Of each day from the first alert to the last, at least one.
        alerts: Alerts in incidents.
        share: Their share of all alerts.
        largest: Alerts of the largest incident.
    """

    setting: str
    value: float
    present: bool
    incidents: int
    incidents_a_day: float
    alerts: int
    share: float
    largest: int


def show(given: Given) -> None:
    """Show the outcome of other thresholds: a table at a terminal, else a line of JSON for each."""
    with quiet_pipe():
        session = Session(given.file, given.tenant, given.format)
        work = Work(session.settings)
        for _ in observed_alerts(session, given, work, shows_progress=True):
            pass
        days = _days(work)
        if not sys.stdout.isatty():
            for each in tried(work, session.read, days):
                print_json_line(each)
            return
        table = Table("setting", "value", "", title=f"{counted(session.read, 'alert')} of {days:.1f} days")
        for title in ("incidents", "a day", "alerts in them", "of all", "in the largest"):
            table.add_column(title, justify="right")
        last = ""
        for each in tried(work, session.read, days):
            if last and each.setting != last:
                table.add_section()
            table.add_row(*_cells(each, named=each.setting != last), style="bold" if each.present else "")
            last = each.setting
        print_table(table)
        print_line("To use another value, set the variable where Millrace runs: export INCIDENT_RISK_THRESHOLD=2")


def tried(work: Work, alerts: int, days: float) -> Iterator[Tried]:
    """Yield the outcome of each value of each setting, with all others as they are.

    Args:
        work: All alerts, by tenant.
        alerts: Number of alerts.
        days: Days that they span.
    """
    for field, values in TRIED.items():
        present = getattr(work.flow_config, field)
        for value in sorted({*values, present}):
            flows = _flows(work, msgspec.structs.replace(work.flow_config, **{field: value}))
            of_flows = [flow.alerts for flow in flows]
            yield Tried(
                variable_of(field),
                value,
                value == present,
                len(flows),
                round(len(flows) / days, 2),
                sum(of_flows),
                round(sum(of_flows) / alerts, 4),
                max(of_flows, default=0),
            )


def variable_of(field: str) -> str:
    """Return the environment variable of a setting of flows."""
    return f"INCIDENT_{field.upper()}"


def _flows(work: Work, config: FlowConfig) -> list[Flow]:
    return [flow for tenant in work.tenants.values() for flow in tenant.flows(config)]


def _days(work: Work) -> float:
    """Return the days from the first alert to the last, at least one."""
    clusters = [each for tenant in work.tenants.values() for each in tenant.members.summaries.values()]
    first = min((each.start_time for each in clusters), default=0.0)
    return max((max((each.end_time for each in clusters), default=0.0) - first) / DAY_S, 1.0)


def _cells(each: Tried, *, named: bool) -> tuple[str, ...]:
    shown: tuple[Any, ...] = (
        each.setting if named else "",
        f"{each.value:g}",
        "now" if each.present else "",
        each.incidents,
        f"{each.incidents_a_day:.1f}",
        each.alerts,
        f"{each.share:.1%}",
        each.largest,
    )
    return tuple(map(str, shown))
