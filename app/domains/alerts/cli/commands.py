"""The work of the commands: alerts in, techniques, clusters and flows out, as lines or for a person."""

from __future__ import annotations

import itertools
import sys
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from rich.table import Table
from rich.text import Text

from app.cli.terminal import open_console, print_json_line, print_table
from app.domains.alerts.alert import latest_time
from app.domains.alerts.attack import attack_table
from app.domains.alerts.cli.outcome import Outcome, write_bundles, write_page, write_results
from app.domains.alerts.cli.session import Session, quiet_pipe
from app.domains.alerts.cli.show import LONGEST_NAME
from app.domains.alerts.cli.work import Work, enrich
from app.domains.alerts.records import INCIDENTS, outputs_of
from app.domains.alerts.report.kept import KeptAlerts
from app.domains.alerts.report.words import name_of, technique_name
from app.domains.alerts.results import flow_bundle
from app.domains.alerts.settings import AlertSettings
from app.domains.alerts.synthetic import synthetic_alerts
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.domains.alerts.tenancy import key_of
from app.errors import LocationError
from app.text import one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from app.domains.alerts.alert import Alert, EnrichedAlert, Techniques
    from app.domains.alerts.formats.pieces import InputItem
    from app.domains.alerts.techniques.resolver import Candidate
    from app.domains.alerts.tenant import Observed
    from app.settings import Settings

ROWS_NAMED = 10  # faulty rows of the lookup table
ROWS_SHOWN = 1_000  # of a table of techniques: whoever has more reads lines


class Given(NamedTuple):
    """The options that the commands share.

    Attributes:
        file: The input; None and `-` are standard input.
        tenant: The owner of alerts that name none; empty for `ALERTS_TENANT`.
        format: The only format that is read, or empty.
        no_model: Whether techniques are resolved without the model.
    """

    file: Path | None
    tenant: str
    format: str
    no_model: bool


def technique(given: Given, texts: Sequence[str], *, table: bool, least: float | None, candidates: int) -> None:
    """Print techniques, as lines or as a table."""
    with quiet_pipe():
        session = Session(given.file, given.tenant, given.format, takes_texts=True, given=texts)
        settings = session.settings
        if least is not None:
            settings = settings.with_variables(TECHNIQUE_LEAST_CONFIDENCE=str(least))
        resolver = _resolver(settings, given)
        columns = ("alert", "techniques", "tactics", "confidence", "source")
        rows = Table(*columns, *(["candidates"] if candidates else []))
        for batch in session.batches(shows_progress=table or not sys.stdout.isatty()):
            alerts = _alerts(batch)
            resolved = resolver.resolve(alerts)
            ranked = resolver.candidates(alerts, resolved, candidates) if candidates else itertools.repeat(None)
            for each, found, others in zip(batch, resolved, ranked, strict=False):
                if not table:
                    print_json_line(_techniques_line(each, found, others))
                elif rows.row_count < ROWS_SHOWN:
                    rows.add_row(*_techniques_row(each, found, others))
            sys.stdout.flush()
        _say_rejected(resolver, session)
        if table:
            print_table(rows)
            if session.read > ROWS_SHOWN:
                session.say(f"{session.read - ROWS_SHOWN} more are not shown; without --table all are")


def cluster(given: Given) -> None:
    """Print each alert's cluster, a line each."""
    with quiet_pipe():
        session = Session(given.file, given.tenant, given.format)
        work = Work(session.settings)
        for each, _, observed in observed_alerts(session, given, work, shows_progress=not sys.stdout.isatty()):
            change, alert = observed.change, each.alert
            line: dict[str, Any] = {
                "id": alert.id,
                "cluster_id": None if change.skipped else change.cluster_id,
                "opened": change.opened,
                "merged": change.merged,
                "duplicate": change.duplicate,
            }
            if change.event_time is not None:
                line["event_time"] = change.event_time
            if change.skipped:
                line["skipped"] = change.skipped
            print_json_line({"tenant": alert.tenant, **line} if alert.tenant else line)


def flow(given: Given, *, stix: bool, out: Path | None) -> None:
    """Print flows at the end of the input, as lines or bundles, or write files of bundles."""
    with quiet_pipe():
        session = Session(given.file, given.tenant, given.format)
        work, kept = Work(session.settings), KeptAlerts(of_steps=False)
        for _ in observed_alerts(session, given, work, kept, shows_progress=True):
            pass
        default = session.tenant
        outcome = Outcome(work, session, kept)
        for name, (_, flows) in outcome.tenants.items():
            if out is not None:
                written = write_bundles(out, flows, name, default)
                session.say(f"{len(written)} files of {len(flows)} flow{'s' * (len(flows) != 1)} written to {out}")
                continue
            for each in sorted(flows, key=lambda each: each.flow_id):
                named = {} if name == default else {"tenant": name}
                print_json_line(
                    msgspec.Raw(flow_bundle(each, name)) if stix else {**named, **msgspec.to_builtins(each)}
                )
        if not outcome.summary.flows:
            outcome.show_summary(session.console)


def run(given: Given, *, roles: Collection[str] | None, out: Path | None, page: Path | None) -> None:
    """Do all of it: print a line for each record of the roles as it comes, or a picture at the end; and write files."""
    with quiet_pipe():
        if page is not None and given.file is not None and page.exists() and page.samefile(given.file):
            raise LocationError(f"{page}: it is the input; give --html a file of its own")
        session = Session(given.file, given.tenant, given.format)
        work = Work(session.settings, with_ids=out is not None, live=roles is not None)
        kept = KeptAlerts(of_steps=page is not None)
        shows_progress = roles is None or not sys.stdout.isatty()
        for each, name, observed in observed_alerts(session, given, work, kept, shows_progress=shows_progress):
            if roles is not None:
                for output in outputs_of(each, observed, name, key_of(name), attack_table()):
                    if output.role in roles:
                        print_json_line(msgspec.Raw(output.data))
        outcome = Outcome(work, session, kept)
        if out is not None:
            written = write_results(out, work.tenants, session.tenant)
            session.say(f"{len(written)} files written to {out}")
        if page is not None:
            write_page(page, outcome, kept, session.source.name)
            session.say(f"the page of incidents is {page}")
        if roles is None:
            outcome.show(open_console())
        elif INCIDENTS in roles:
            print_json_line(outcome.summary)


def sample(count: int, seed: int) -> None:
    """Print made-up alerts."""
    with quiet_pipe():
        for each in synthetic_alerts(count, seed):
            print_json_line(each)


def _resolver(settings: Settings, given: Given) -> TechniqueResolver:
    return TechniqueResolver.without_model(settings) if given.no_model else TechniqueResolver.open(settings)


def _alerts(batch: Sequence[InputItem]) -> list[Alert]:
    return [each.alert for each in batch if each.alert is not None]


def observed_alerts(
    session: Session, given: Given, work: Work, kept: KeptAlerts | None = None, *, shows_progress: bool
) -> Iterator[tuple[EnrichedAlert, str, Observed]]:
    """Yield all alerts of the input in their order, each with its tenant and the changes that it made."""
    resolver = _resolver(session.settings, given)
    skew_s = session.settings.read(AlertSettings).alerts_clock_skew
    for batch in session.batches(shows_progress=shows_progress):
        work.configure(session.source.cluster_config, session.source.config)
        arrival_s = session.source.arrival_s
        latest = latest_time(time() if arrival_s is None else arrival_s, skew_s)
        raw = {id(each.alert): each.raw for each in batch} if kept is not None else {}
        for alert, tenant, observed in work.observe(enrich(_alerts(batch), resolver, latest)):
            if kept is not None:
                kept.add(alert, tenant, observed.change, raw.get(id(alert.alert)))
            yield alert, tenant, observed
        sys.stdout.flush()
    _say_rejected(resolver, session)


def _say_rejected(resolver: TechniqueResolver, session: Session) -> None:
    """Name the rows of the lookup table that were ignored."""
    rows = resolver.lookup.rejected if resolver.lookup is not None else ()
    for row in rows[:ROWS_NAMED]:
        session.say(f"LOOKUP_TABLE: line {row.line} is ignored: {row.reason}: {one_line(row.message)}")
    if len(rows) > ROWS_NAMED:
        session.say(f"LOOKUP_TABLE: {len(rows) - ROWS_NAMED} more lines are ignored")


def _techniques_line(
    each: InputItem, found: Techniques, candidates: Sequence[Candidate] | None = None
) -> dict[str, Any]:
    alert, table = each.alert, attack_table()
    assert alert is not None  # noqa: S101 - of a batch of those that were read
    line: dict[str, Any] = {"text": alert.name} if each.is_text else {"id": alert.id, "name": alert.name}
    if each.text_id is not None:
        line = {"id": each.text_id, **line}
    if alert.tenant:
        line["tenant"] = alert.tenant
    line["techniques"] = [
        {"id": key, "name": name_of(key), "tactics": table.tactics_of(key), "confidence": round(confidence, 4)}
        for key, confidence in zip(found.ids, found.confidences, strict=True)
    ]
    line |= {"source": found.source, "confidence": round(found.confidence, 4)}
    if candidates is not None:
        line["candidates"] = [
            {"id": key, "name": name_of(key), "confidence": round(confidence, 4)} for key, confidence in candidates
        ]
    return line | ({"dropped": found.dropped} if found.dropped else {})


def _techniques_row(
    each: InputItem, found: Techniques, candidates: Sequence[Candidate] | None = None
) -> tuple[Text, ...]:
    tactics = dict.fromkeys(tactic for key in found.ids for tactic in attack_table().tactics_of(key))
    return (
        Text(one_line(each.alert.name if each.alert else "", LONGEST_NAME)),
        Text("\n".join(map(technique_name, found.ids))),
        Text("\n".join(tactics)),
        Text("\n".join(f"{each:.2f}" for each in found.confidences) or f"below, {found.confidence:.2f}"),
        Text(found.source),
        *([] if candidates is None else [Text("\n".join(f"{each.confidence:.2f} {each.id}" for each in candidates))]),
    )
