"""`doctor`: find what loses or holds up records here, in the streams and in a deployed function."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from app.cli.terminal import open_console, print_json
from app.doctor.file import examine_file
from app.doctor.finding import Finding, Report, Severity, report_of
from app.doctor.function import examine_function
from app.doctor.here import examine_account, examine_here
from app.errors import SettingsError
from app.stream.mapping.intrinsics import parameters_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXIT_ERRORS = 60  # an error was found; nothing else is written to standard error

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}

Function = Annotated[str | None, typer.Option(help="A deployed function: its settings, its mappings, their streams.")]
File = Annotated[
    Path | None, typer.Option(help="A CloudFormation or SAM template, or get-event-source-mapping's output.")
]
LogicalId = Annotated[str, typer.Option(help="The only mapping of the file to look at: its logical id or UUID.")]
Parameters = Annotated[
    list[str] | None, typer.Option(help="NAME=VALUE of a parameter of the template; repeatable.", show_default=False)
]
Stream = Annotated[
    str | None,
    typer.Option(envvar="KINESIS_STREAM_INPUT", help="The stream that is read. [default: of PIPELINES or PIPELINE]"),
]
RecordBytes = Annotated[int, typer.Option(min=1, help="Size of a typical record's data, in bytes.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object: checked, findings.")]


def register(cli: typer.Typer) -> None:
    """Add the command."""
    cli.command()(doctor)


def doctor(
    function: Function = None,
    mapping: File = None,
    logical_id: LogicalId = "",
    parameter: Parameters = None,
    stream: Stream = None,
    record_bytes: RecordBytes = 1000,
    as_json: AsJson = False,
) -> None:
    """Look for what loses or holds up records, and say how to mend it.

    Without an option: this environment, its streams, its state and its model. With --function a deployed function. With
    --mapping the mappings in a file and their functions, without asking AWS. Nothing is changed. Exit code 60 if there
    is an error among the findings.
    """
    if mapping is None and (logical_id or parameter):
        raise SettingsError("--logical-id and --parameter go with --mapping")
    parameters = parameters_of(parameter or [])
    report = report_of(_examine(function, mapping, logical_id, parameters, stream, record_bytes))
    if as_json:
        print_json(report)
    else:
        _show(report)
    if report.has_errors:
        raise typer.Exit(EXIT_ERRORS)


def _examine(
    function: str | None,
    mapping: Path | None,
    logical_id: str,
    parameters: Mapping[str, str],
    stream: str | None,
    record_bytes: int,
) -> Iterator[str | Finding]:
    if mapping is not None:
        yield from examine_file(mapping, logical_id, parameters, record_bytes)
    if function is not None:
        yield from examine_account()
        yield from examine_function(function, record_bytes)
    if function is None and mapping is None:
        yield from examine_here(os.environ, stream)


def _show(report: Report) -> None:
    out = open_console()
    for line in report.checked:
        out.print(Text.assemble(("✓ ", "green"), line), soft_wrap=True)
    if not report.findings:
        out.print("nothing wrong was found")
        return
    table = Table("", "", "where", "finding, and why it matters", show_lines=True)
    for number, finding in enumerate(report.findings, 1):
        text = Text.assemble((finding.what, "bold"), "\n", finding.why)
        severity = Text(finding.severity, _STYLES[finding.severity])
        table.add_row(str(number), severity, finding.where, text)
    out.print(table)
    out.print("how to mend it:")
    for number, finding in enumerate(report.findings, 1):
        out.print(f"{number}. {finding.mend}", soft_wrap=True)  # whole, since it is there to be copied
