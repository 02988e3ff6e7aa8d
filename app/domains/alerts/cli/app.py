"""`alerts technique`, `cluster`, `flow`, `run`, `correct` and `sample`: alerts of any format on files and pipes.

Their work is in `commands`, which is imported by the first of them that runs: no other command pays for it.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from app.domains.alerts.synthetic import SAMPLE_ALERTS

File = Annotated[
    Path | None,
    typer.Argument(
        help="Alerts of any format, gzip or not; without it, or with -, standard input.", show_default=False
    ),
]
Tenant = Annotated[str, typer.Option(help="The owner of alerts that name no tenant; else ALERTS_TENANT.")]
Format = Annotated[str, typer.Option("--format", help="Read this format alone; else each alert's own is recognised.")]
NoModel = Annotated[
    bool, typer.Option("--no-model", help="Techniques from alerts, corrections and the catalogue of rules alone.")
]
Texts = Annotated[list[str] | None, typer.Option("--text", help="A text instead of a file; more than once for more.")]
AsTable = Annotated[bool, typer.Option("--table", help="A table for a person instead of JSON lines.")]
LeastConfidence = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Confidence below which the model's answer is unknown; 0: it always answers. "
        "Else TECHNIQUE_LEAST_CONFIDENCE, else the model's own.",
        show_default=False,
    ),
]
Candidates = Annotated[
    int,
    typer.Option(
        min=0,
        max=20,
        help="How many of the most probable techniques to add to each answer, whatever their confidence.",
    ),
]
Stix = Annotated[bool, typer.Option("--stix", help="Each flow as an Attack Flow bundle, a line each.")]
BundlesOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="With --stix: a folder for the bundles, a file each, and beside each a file for Attack Flow Builder.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Each change of a cluster or flow as a line of JSON, as it is.")]
ResultsOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="A folder for cluster.json, flow.json, tickets, metrics, bundles, and layers for other tools.",
        show_default=False,
    ),
]
CorrectedAlert = Annotated[
    str, typer.Argument(help="The text of the alerts, or with --rule the id of their rule.", show_default=False)
]
CorrectTechniques = Annotated[
    list[str] | None,
    typer.Argument(help="Their ATT&CK techniques; none where they have none.", show_default=False),
]
OfRule = Annotated[bool, typer.Option("--rule", help="Correct all alerts of a rule, whatever their text.")]
Override = Annotated[bool, typer.Option("--override", help="Also in place of techniques that an alert carries.")]
Author = Annotated[str, typer.Option(help="Who corrects.")]
Remove = Annotated[bool, typer.Option("--remove", help="Remove the correction of this text or rule.")]
CorrectedTenant = Annotated[
    str, typer.Option("--tenant", help="For the alerts of this tenant only; else of LOOKUP_TENANT, else of all.")
]
Lookup = Annotated[
    str, typer.Option("--table", help="A file that ends in .csv, or a DynamoDB table; else LOOKUP_TABLE.")
]
Count = Annotated[int, typer.Option(min=1, help="How many alerts.")]
Seed = Annotated[int, typer.Option(help="Other seeds have other alerts.")]


class Role(enum.StrEnum):
    """The stream roles of the pipeline `alerts`."""

    ENRICHED = "enriched"
    INCIDENTS = "incidents"
    TICKETS = "tickets"


HtmlOut = Annotated[
    Path | None,
    typer.Option("--html", help="A file for a page of all incidents, to read and to print.", show_default=False),
]

Roles = Annotated[
    list[Role] | None,
    typer.Option(
        "--role", help="With --json: which stream's records; once for each. Else incidents.", show_default=False
    ),
]


FormatFile = Annotated[Path, typer.Argument(help="A format's TOML file, see docs/own-formats.md.")]
FormatSample = Annotated[Path, typer.Argument(help="Alerts of this format, gzip or not; or - for standard input.")]


def register(cli: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        no_args_is_help=True, help="Alerts on files and pipes: techniques, clusters and flows, without any stream."
    )
    for command in (technique, cluster, flow, run, tune, correct, sample):
        group.command()(command)
    formats = typer.Typer(no_args_is_help=True, help="Formats of alerts: those that are read, and one's own.")
    formats.command("check")(format_check)
    formats.command("list")(format_list)
    group.add_typer(formats, name="format")
    cli.add_typer(group, name="alerts")


def technique(
    file: File = None,
    text: Texts = None,
    table: AsTable = False,
    least_confidence: LeastConfidence = None,
    candidates: Candidates = 0,
    tenant: Tenant = "",
    format_: Format = "",
    no_model: NoModel = False,
) -> None:
    """Print the ATT&CK techniques of alerts, or of plain texts, each with its confidence and source.

    A line that is of no format is a text of its own, and so is an object of `text` or of `title` and `description`,
    whose `id` stands in the answer. A lower --least-confidence gives more answers, and more wrong ones.

    Examples: millrace alerts technique --text "LSASS memory read by an unknown process" --candidates 3;
    millrace alerts technique eve.json.gz;  grep ET /var/log/snort/alert | millrace alerts technique --table
    """
    if text and file is not None:
        raise typer.BadParameter("it replaces a file; give one of the two", param_hint="--text")
    if candidates and no_model:
        raise typer.BadParameter("it asks the model; leave out --no-model", param_hint="--candidates")
    from app.domains.alerts.cli import commands  # noqa: PLC0415 - see above

    given = commands.Given(file, tenant, format_, no_model)
    commands.technique(given, texts=text or (), table=table, least=least_confidence, candidates=candidates)


def cluster(file: File = None, tenant: Tenant = "", format_: Format = "", no_model: NoModel = False) -> None:
    """Put each alert into a cluster: its id and the cluster's, and which clusters became one by it.

    Clusters follow from the alerts before, in the order in which they stand. A merged cluster's id is never used again:
    whoever keeps ids changes them to `cluster_id` where they are in `merged`.

    Examples: millrace alerts cluster alerts.jsonl;  tail -F eve.json | millrace alerts cluster
    """
    from app.domains.alerts.cli import commands  # noqa: PLC0415 - see above

    commands.cluster(commands.Given(file, tenant, format_, no_model))


def flow(
    file: File = None,
    stix: Stix = False,
    out: BundlesOut = None,
    tenant: Tenant = "",
    format_: Format = "",
    no_model: NoModel = False,
) -> None:
    """Print the attack flows of alerts: steps in the order of cause, each edge with probability and reason.

    Examples: millrace alerts flow alerts.jsonl;  millrace alerts flow alerts.jsonl --stix --out bundles;
    zcat day.json.gz | millrace alerts flow --stix
    """
    if out is not None and not stix:
        raise typer.BadParameter("it goes with --stix", param_hint="--out")
    from app.domains.alerts.cli import commands  # noqa: PLC0415 - see above

    commands.flow(commands.Given(file, tenant, format_, no_model), stix=stix, out=out)


def run(
    file: File = None,
    as_json: AsJson = False,
    role: Roles = None,
    out: ResultsOut = None,
    page: HtmlOut = None,
    tenant: Tenant = "",
    format_: Format = "",
    no_model: NoModel = False,
) -> None:
    """Do all of it: techniques, clusters and flows, shown as a table and as drawn flows.

    With --json each change is a line as it happens, as the stream of that role would have it, and a summary is the last
    line. With --out the results are files too, with --html a page; the ids of all alerts are in memory then.

    Examples: millrace alerts sample | millrace alerts run;  millrace alerts run alerts.json --out results;
    millrace alerts run alerts.json --html report.html;  tail -F eve.json | millrace alerts run --json
    """
    if role and not as_json:
        raise typer.BadParameter("it goes with --json", param_hint="--role")
    from app.domains.alerts.cli import commands  # noqa: PLC0415 - see above

    given, roles = commands.Given(file, tenant, format_, no_model), role or [Role.INCIDENTS]
    commands.run(given, roles={each.value for each in roles} if as_json else None, out=out, page=page)


def tune(file: File = None, tenant: Tenant = "", format_: Format = "", no_model: NoModel = False) -> None:
    """Show how many incidents a day other thresholds would give on these alerts, and which share of them.

    Each threshold is tried with the others as they are. A table at a terminal, in a pipe a line of JSON for each.

    Examples: millrace alerts tune month.jsonl.gz;  millrace alerts tune month.jsonl.gz | jq .incidents_a_day
    """
    from app.domains.alerts.cli.commands import Given  # noqa: PLC0415 - see above
    from app.domains.alerts.cli.tune import show  # noqa: PLC0415

    show(Given(file, tenant, format_, no_model))


def correct(
    alert: CorrectedAlert,
    techniques: CorrectTechniques = None,
    rule: OfRule = False,
    override: Override = False,
    author: Author = "",
    remove: Remove = False,
    tenant: CorrectedTenant = "",
    table: Lookup = "",
) -> None:
    """Correct the techniques of alerts of one text or of one rule, from now on, in the lookup table.

    Numbers, addresses, paths and the like in a text are left out of the comparison. A file is made if there is none.

    Examples: millrace alerts correct "Door 7 was open" T1078 --table lookup.csv;
    millrace alerts correct --rule 5760 T1110.001 --override;  millrace alerts correct --rule 5760 --remove
    """
    if remove == bool(techniques):
        raise typer.BadParameter(
            "techniques are not given with --remove" if remove else "give ATT&CK ids, or none where there are none",
            param_hint="TECHNIQUES",
        )
    from app.domains.alerts.cli.correct import correct as write  # noqa: PLC0415 - see above
    from app.domains.alerts.lookups.corrections import Correction  # noqa: PLC0415 - see above

    target = Correction("" if rule else alert, (), 0.0, author, 1.0, alert if rule else "", override, tenant)
    write(target, techniques or (), table, remove=remove)


def sample(count: Count = SAMPLE_ALERTS, seed: Seed = 0) -> None:
    """Print invented alerts, an attack among everyday ones, as JSON lines: to try the other commands with.

    Example: millrace alerts sample | millrace alerts run
    """
    from app.domains.alerts.cli import commands  # noqa: PLC0415 - see above

    commands.sample(count, seed)


def format_check(file: FormatFile, sample: FormatSample) -> None:
    """Show what each field of a sample becomes by a format of one's own: its path, its value, or why there is none.

    A table at a terminal, JSON in a pipe. All faults of the file are named.

    Example: millrace alerts format check acme.toml sample.jsonl
    """
    from app.domains.alerts.cli import format as command  # noqa: PLC0415 - see above

    command.check(file, sample)


def format_list() -> None:
    """List all formats and the features that each is known by; those of ALERTS_FORMATS come first, as they are tried.

    Example: millrace alerts format list
    """
    from app.domains.alerts.cli import format as command  # noqa: PLC0415 - see above

    command.list_formats()
