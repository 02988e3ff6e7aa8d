"""`alerts format`: check a format of one's own on a sample, and list all formats."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table as Grid

from app.cli.terminal import print_json_line, print_line, print_table
from app.domains.alerts.alert import USER, AlertFault
from app.domains.alerts.cli.input import AlertInput
from app.domains.alerts.cli.session import LONGEST_FAULT, quiet_pipe
from app.domains.alerts.formats.mapping import FieldReader, Table, kept
from app.domains.alerts.formats.own_tables import read_own_format, read_own_formats
from app.domains.alerts.formats.recognise import FORMATS, use_own_formats
from app.domains.alerts.settings import AlertSettings
from app.errors import EventError
from app.settings import read_settings
from app.text import one_line

if TYPE_CHECKING:
    from pathlib import Path

    from app.domains.alerts.alert import Alert
    from app.domains.alerts.formats.format import Format
    from app.domains.alerts.formats.pieces import InputItem

LONGEST_SHOWN = 60  # characters of a value
MOST_FAULTS = 20  # that are shown; all are counted
_FIELDS = ("id", "time", "src", "dst", "either", "name", "tech", "tags", "tenant")


class FieldUse(msgspec.Struct, omit_defaults=True):
    """What became of a field in a sample.

    Attributes:
        field: Its key in the file.
        path: The path that the first record with a value has it at; empty without one.
        value: That record's value.
        becomes: What the alert has of it.
        records: Records with a value.
        why: Why there is no value.
    """

    field: str
    path: str = ""
    value: Any = None
    becomes: Any = None
    records: int = 0
    why: str = ""


class Checked(msgspec.Struct):
    """What became of a sample.

    Attributes:
        format: The format's name.
        records: Records of the sample.
        recognised: Those that have the format's features.
        read: Those of them that are alerts.
        fields: Each field of the format.
        faults: Messages of the others, with their numbers.
    """

    format: str
    records: int
    recognised: int
    read: int
    fields: list[FieldUse]
    faults: list[str]


def check(file: Path, sample: Path) -> None:
    """Print what each field of a sample becomes.

    Raises:
        SettingsError: The format's file is missing or faulty.
        LocationError: The sample cannot be opened.
        EventError: No record of it could be read by the format.
    """
    checked = check_format(read_own_format(file), sample)
    with quiet_pipe():
        if sys.stdout.isatty():
            _show(checked)
        else:
            print_json_line(checked)
    if not checked.read:
        why = "none has the features in [recognise]" if not checked.recognised else "each has a fault, see above"
        raise EventError(f"{sample}: none of its {checked.records} records is an alert of {checked.format}: {why}")


def check_format(own: Format, sample: Path) -> Checked:
    """Return what becomes of a sample by a format.

    Raises:
        LocationError: The sample cannot be opened.
    """
    _, table = own.tables[0]
    reader = FieldReader(own.title, own.name, table)
    outcomes: list[tuple[dict[str, Any], Alert | AlertFault]] = []

    def read(record: dict[str, Any], tenant: str = "", received: float | None = None) -> Alert:
        try:
            alert = own.read(record, tenant, received)
        except AlertFault as fault:
            outcomes.append((record, fault))
            raise
        outcomes.append((record, alert))
        return alert

    uses, faults = {key: FieldUse(key) for key in _paths_of(table)}, list[str]()
    records = recognised = read_count = 0
    use_own_formats((msgspec.structs.replace(own, read=read),))
    try:
        for batch in AlertInput(sample):
            by_own = {id(outcome): record for record, outcome in outcomes}
            for item in batch:
                records += 1
                record = by_own.get(id(item.alert if item.fault is None else item.fault))
                recognised += record is not None
                if record is not None:
                    _use(uses, table, reader.found(record), item.alert)
                if record is None or item.fault is not None:
                    faults += [_fault(item, own)] if len(faults) < MOST_FAULTS else []
                else:
                    read_count += 1
            outcomes.clear()
    finally:
        use_own_formats(())
    for key, each in uses.items():
        if not each.records:
            each.why = f"no record has {' or '.join(_paths_of(table)[key])}"
    return Checked(own.name, records, recognised, read_count, list(uses.values()), faults)


def list_formats() -> None:
    """Print all formats.

    Raises:
        SettingsError: A file of `ALERTS_FORMATS` is missing or faulty.
    """
    own = read_own_formats(read_settings(os.environ).read(AlertSettings).alerts_formats)
    rows = [("ALERTS_FORMATS", each) for each in own] + [("Millrace", each) for each in FORMATS]
    with quiet_pipe():
        if not sys.stdout.isatty():
            for origin, each in rows:
                print_json_line({"name": each.name, "title": each.title, "known_by": each.known_by, "origin": origin})
            return
        grid = Grid(title=f"{len(rows)} formats", title_justify="left", title_style="bold")
        for name in ("name", "format", "known by", "of"):
            grid.add_column(name, overflow="fold")
        for origin, each in rows:
            grid.add_row(each.name, each.title, each.known_by.replace("`", ""), origin)
        print_table(grid)


def _paths_of(table: Table) -> dict[str, tuple[str, ...]]:
    """Return the paths of each field of a file."""
    found: dict[str, tuple[str, ...]] = {key: getattr(table, key) for key in _FIELDS}
    users = table.attributes.get(USER, ())
    found["either"] = tuple(path for path in table.either if path not in users)
    found |= {"severity": tuple(table.severity), "closed": tuple(table.closed), **table.attributes}
    return {key: paths for key, paths in found.items() if paths} | {
        f"keep {key}": (path,) for key, path in map(kept, table.keep)
    }


def _use(uses: dict[str, FieldUse], table: Table, found: dict[str, list[Any]], alert: Alert | None) -> None:
    """Count the fields that a record has; the first value of each is shown."""
    for key, paths in _paths_of(table).items():
        there = next((path for path in paths if path in found), None)
        if there is None:
            continue
        use = uses[key]
        use.records += 1
        if use.records == 1:
            values = found[there]
            use.path, use.value = there, values[0] if len(values) == 1 else values
            use.becomes = None if alert is None else _becomes(alert, key.removeprefix("keep "))


def _becomes(alert: Alert, key: str) -> object:
    """Return what an alert has of a field; nothing for one that only helps others."""
    if key == "severity":
        return None if alert.severity is None else f"{alert.severity} of 100"
    if key == "time":
        return datetime.fromtimestamp(alert.time, UTC).isoformat()
    if key in {"either", "tags"}:
        return None
    return alert.other_attributes[key] if key in alert.other_attributes else getattr(alert, key, None)


def _fault(item: InputItem, own: Format) -> str:
    where = f"{item.unit} {item.number}"
    if item.fault is None or item.fault.reason == "unknown_format":
        return f"{where}: not recognised: {own.name} is known by {own.known_by}"
    return f"{where}: {item.fault.reason}: {one_line(item.fault.message, LONGEST_FAULT)}"


def _show(checked: Checked) -> None:
    counts = f"{checked.records} records, {checked.recognised} recognised, {checked.read} read"
    grid = Grid(title=f"{checked.format}: {counts}", title_justify="left", title_style="bold")
    for name in ("field", "path", "value", "becomes"):
        grid.add_column(name, overflow="fold")
    grid.add_column("records", justify="right")
    for each in checked.fields:
        value = each.why or _shown(each.value)
        becomes = "" if each.becomes is None else _shown(each.becomes)
        grid.add_row(each.field, each.path, value, becomes, str(each.records))
    print_table(grid)
    for fault in checked.faults:
        print_line(fault)
    rest = checked.records - checked.read - len(checked.faults)
    if rest > 0:
        print_line(f"and {rest} more")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return one_line(text, LONGEST_SHOWN)
