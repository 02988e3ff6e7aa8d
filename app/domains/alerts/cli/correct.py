"""`alerts correct`: write one analyst's correction into the lookup table, or remove it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgspec
import typer

from app.cli.terminal import print_line
from app.domains.alerts.attack import attack_table
from app.domains.alerts.cli.session import quiet_pipe
from app.domains.alerts.lookups.corrections import Correction, CorrectionFault, checked, similar_techniques
from app.domains.alerts.lookups.csv_file import techniques_of
from app.domains.alerts.lookups.table import LookupTable, open_lookup, update
from app.domains.alerts.report.words import technique_name
from app.domains.alerts.settings import AlertSettings
from app.errors import ConflictError, LocationError, SettingsError
from app.settings import read_settings
from app.text import one_line, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_SHOWN = 100  # characters of a text or rule in the answer


def correct(target: Correction, techniques: Sequence[str], table: str, *, remove: bool) -> None:
    """Write or remove a correction, and say what holds now.

    Args:
        target: The correction as far as it was given: without its techniques and its time.
        techniques: Ids as they were written, or `none`.
        table: The lookup table, or empty for `LOOKUP_TABLE`.
        remove: Whether to remove the correction of this text or rule.

    Raises:
        BadParameter: The correction is refused.
        ConflictError: The table has a newer correction.
        SettingsError: No table is named.
        LocationError: The table's file cannot be read.
        CloudError: The table does not answer.
    """
    own = read_settings(os.environ).read(AlertSettings)
    if own.lookup_tenant and target.tenant not in {"", own.lookup_tenant}:
        raise typer.BadParameter(f"only corrections for {quoted(own.lookup_tenant)} are taken here (LOOKUP_TENANT)")
    target = msgspec.structs.replace(target, tenant=target.tenant or own.lookup_tenant)
    name = table or own.lookup_table
    lookup = open_lookup(name)
    if lookup is None:
        raise SettingsError(
            "LOOKUP_TABLE is not set: give --table, a file that ends in .csv or a DynamoDB table's name"
        )
    given = _checked(target, techniques)
    about = f"rule {given.rule}" if given.rule else given.text
    about = f"{about} (tenant {given.tenant})" if given.tenant else about
    line = _remove(lookup, given) if remove else _write(lookup, given)
    with quiet_pipe():
        print_line(f"{one_line(about, LONGEST_SHOWN)}: {line}; {one_line(name, LONGEST_SHOWN)}")


def _checked(target: Correction, techniques: Sequence[str]) -> Correction:
    now, attack = time.time(), attack_table()
    written: tuple[str, ...] = ()
    try:
        written = techniques_of(";".join(techniques)) if techniques else ()
        given = Correction(target.text, written, now, target.author, 1.0, target.rule, target.override, target.tenant)
        return checked(given, attack, now)
    except CorrectionFault as fault:
        message = one_line(fault.message)
        unknown = next((each for each in written if not attack.knows(each.upper())), "")
        if fault.reason == "unknown_technique" and (similar := similar_techniques(unknown, attack)):
            message += f"; similar: {', '.join(map(technique_name, similar))}"
        if fault.reason == "too_general":
            message += "; with --rule it is the id of a rule"
        raise typer.BadParameter(message) from None


def _write(lookup: LookupTable, given: Correction) -> str:
    try:
        before = lookup.find([given.key]).get(given.key)
    except LocationError:  # a file that is yet to be made; another fault is raised again when it is written
        before = None
    if before is not None and (before.techniques, before.override) == (given.techniques, given.override):
        return f"{_words(before)}, as before"
    if update(lookup, [given]).outdated:
        raise ConflictError("the lookup table has a correction with a later time; remove it first with --remove")
    return _words(given) + (f", before: {_words(before)}" if before is not None else "")


def _remove(lookup: LookupTable, given: Correction) -> str:
    before = lookup.find([given.key]).get(given.key)
    if before is None or not lookup.remove(given.key):
        return "has no correction"
    return f"no correction any more, before: {_words(before)}"


def _words(correction: Correction) -> str:
    words = ", ".join(map(technique_name, correction.techniques)) or "no technique"
    return words + (" instead of what alerts carry" if correction.override else "")
