"""Write `docs/reliability.md` from a run: what was checked, what was caught, and what was not tested.

python -m devtools.mutants --out .cloud/mutants.json
python -m benchmarks.controls --python .cloud/controls/bin/python --out .cloud/controls.json
python -m devtools.reliability --mutants .cloud/mutants.json --controls .cloud/controls.json
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from app.stream.testing.checker import check_all
from app.stream.testing.faults import KINDS
from app.stream.testing.invariants import INVARIANTS
from benchmarks.controls.__main__ import table
from benchmarks.controls.plan import SCENARIOS
from devtools.mutants.cli import LEAST_CAUGHT, Outcome
from devtools.mutants.generated import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.stream.testing.checker import Report
    from devtools.mutants.running import Ran

PAGE = ROOT / "docs" / "reliability.md"
HISTORIES = 20_000

WHILE_IT_RUNS = (
    "one output, one id",
    "one id, one content",
    "each output to its role",
    "invocations without faults make progress",
    "an invocation without faults uses its time",
    "only errors of Millrace's own leave the spine",
    "parents before children",
    "nothing behind the checkpoint comes again",
    "the checkpoint never passes an unsafe record",
    "a key's fault leaves other keys' progress",
    "a fault that passes does not end the mapping",
    "each shard has its turn",
)
"""The invariants that are noted as they are broken."""

NOT_TESTED = """\
- **AWS itself.** Nothing here has spoken to it. Simulated Kinesis and objects are held against kinesis-local and moto
  call for call (`tests/integration/test_differential.py`), and these against AWS's documentation.
- **Threads.** The simulation has one: the order of concurrent calls varies, but no memory is shared by two processors.
  `Threads` in `app/stream/workers.py` has tests of its own.
- **boto3 and botocore below the interfaces.** `SignedPutRecords` runs in the controls and in `tests/integration`,
  `DynamoDbState` and `S3Objects` in the differential tests; none of them in the histories.
- **Enhanced fan-out and the Kinesis Client Library**, which Millrace does not use.
- **Tumbling windows, filters and on-failure destinations** of the mapping: `tests/unit/stream` and `tests/properties`
  have them, the histories do not.
- **The domains' own logic.** Histories run two small pipelines of the checker's. What a domain decides is held by its
  tests, and the table above says so where a fault was a domain's.
- **Size.** A history has at most some sixty records. Limits of bytes and of memory have unit tests.
- **The machine's own faults**: a full disk or a lost write is raised as an exception, not met.
- **Lines that no history runs**, and in which therefore no mutant was made:"""


def page(report: Report, mutants: Outcome, controls: Sequence[dict[str, Any]]) -> str:
    """Return the page.

    Args:
        report: What the checker found.
        mutants: Results of faults put in on purpose.
        controls: Rows of `benchmarks.controls`.
    """
    return "\n".join([*_histories(report), *_mutants(mutants), *_controls(controls), *_not_tested(mutants)]) + "\n"


def _histories(report: Report) -> Iterable[str]:
    yield "# Reliability"
    yield ""
    yield "Written by `python -m devtools.reliability` from a run of the checker, of the mutants and of the controls;"
    yield "its docstring has the three commands."
    yield ""
    yield "## What ran"
    yield ""
    yield (
        f"{report.histories:,} histories, each decided by its seed: {report.records:,} records, "
        f"{report.invocations:,} invocations, {sum(report.fired.values()):,} faults, on Python "
        f"{platform.python_version()}. The mapping, the spine and the state are the real code; Kinesis, DynamoDB, S3, "
        "the clock and crashes are simulated (`app/stream/testing`)."
    )
    yield ""
    yield f"**{len(report.failures)} histories broke an invariant.**"
    for seed, broken in sorted(report.failures.items()):
        yield f"- `millrace test replay {seed}`: {broken[0].invariant}: {broken[0].details}"
    yield ""
    yield "The invariants, at the end of a history:"
    yield ""
    for invariant in INVARIANTS:
        yield f"- *{invariant.__name__.replace('_', ' ')}*: {(invariant.__doc__ or '').strip()}"
    yield ""
    yield "and while it runs: " + ", ".join(f"*{name}*" for name in WHILE_IT_RUNS) + "."
    yield ""
    yield "| step | fault | met |"
    yield "|---|---|--:|"
    for step, kinds in KINDS.items():
        for kind in kinds:
            yield f"| {step} | {kind} | {report.fired[step, kind]:,} |"
    yield ""


def _mutants(outcome: Outcome) -> Iterable[str]:
    yield "## Does it catch?"
    yield ""
    yield "Each fault was put into one module. *In* is the number of histories until one failed, from seed 1 on; where"
    yield "there is none, the controls below or a test caught it."
    yield ""
    yield from _table(
        [each for each in outcome.ran if each.kind == "found"], "Faults that a tester once found, put back"
    )
    yield from _table([each for each in outcome.ran if each.kind == "prone"], "Faults that such code is prone to")
    made = [each for each in outcome.ran if each.kind == "generated"]
    caught, equivalent = sum(bool(each.caught.by) for each in made), sum(bool(each.equivalent) for each in made)
    title = (
        f"Made by rule (seed {outcome.seed}): {caught} of {len(made) - equivalent} caught, and {equivalent} equivalent"
    )
    reached = caught >= LEAST_CAUGHT * (len(made) - equivalent)
    yield from _table(made, title if reached else f"{title}: the aim is nine of ten")


def _table(ran: Sequence[Ran], title: str) -> Iterable[str]:
    yield f"### {title}"
    yield ""
    yield "| fault | caught by | in |"
    yield "|---|---|--:|"
    for each in ran:
        caught = each.caught
        by = _cell(caught.by or (each.equivalent and f"equivalent: {each.equivalent}")) or "**not caught**"
        in_ = "" if not caught.by or not caught.seed else f"{caught.histories:,}"
        yield f"| {_cell(each.name)} | {by} |{in_ and f' {in_}'} |"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")


def _controls(rows: Sequence[dict[str, Any]]) -> Iterable[str]:
    yield "## Controls: the same faults, other libraries"
    yield ""
    yield "Libraries of which faults are published, and Millrace in the same run (`benchmarks/controls`). A record is"
    yield "*doubled* if it is out again although the library had been told of its acceptance, and *repeated* if it had"
    yield "not: then nobody can avoid it."
    yield ""
    yield table(list(rows))
    yield ""
    yield from (f"- **{name}**: {meaning}" for name, meaning in SCENARIOS.items())
    yield ""


def _not_tested(outcome: Outcome) -> Iterable[str]:
    yield "## What was not tested"
    yield ""
    yield NOT_TESTED
    yield ""
    yield "| module | statements | run by histories |"
    yield "|---|--:|--:|"
    for module, (run, every) in outcome.lines.items():
        yield f"| `{module}` | {every} | {run / max(1, every):.0%} |"


def main() -> None:
    """Check, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m devtools.reliability", description=__doc__)
    parser.add_argument("--mutants", type=Path, required=True, help="from `devtools.mutants --out`")
    parser.add_argument("--controls", type=Path, required=True, help="from `benchmarks.controls --out`")
    parser.add_argument("--histories", type=int, default=HISTORIES)
    parser.add_argument("--seed", type=int, default=0, help="of the first history")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    report = check_all(range(options.seed, options.seed + options.histories))
    mutants = msgspec.json.decode(options.mutants.read_bytes(), type=Outcome)
    options.page.write_text(page(report, mutants, json.loads(options.controls.read_text())), encoding="utf-8")


if __name__ == "__main__":
    main()
