"""Run the controls and print one table: what was lost, doubled and out of order, by library and by scenario.

`python -m benchmarks.controls [--python PYTHON] [--histories N] [--out FILE]`; without `--python`, Millrace alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.controls.plan import (
    CONTRADICTION,
    FOREIGN,
    MALFORMED,
    MERGE,
    NO_ANSWER,
    SCENARIOS,
    SLOW,
    THROTTLED,
    Trace,
    Verdict,
    judge,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[2]
HISTORIES = 40
MILLRACE = "millrace"

APPLIES = {
    THROTTLED: ("quixstreams", "aws-lambda-powertools", "async-kinesis"),
    NO_ANSWER: ("quixstreams", "aws-lambda-powertools", "async-kinesis"),
    CONTRADICTION: ("quixstreams", "async-kinesis"),
    MALFORMED: ("aws-kinesis-agg",),
    FOREIGN: ("aws-kinesis-agg", "async-kinesis"),
    MERGE: ("async-kinesis",),
    SLOW: ("async-kinesis",),
}
"""The libraries that do the job of each scenario; Millrace does all of them."""


def run(
    python: str | None, histories: int = HISTORIES, scenarios: Iterable[str] = tuple(APPLIES)
) -> list[dict[str, Any]]:
    """Return a row for each scenario and library.

    Args:
        python: An interpreter with the libraries of `requirements.txt`; None runs Millrace alone.
        histories: Seeds of each row.
        scenarios: Those to run, of `APPLIES`.
    """
    rows = []
    for scenario, peers in ((scenario, APPLIES[scenario]) for scenario in scenarios):
        for peer in [MILLRACE, *(peers if python else [])]:
            interpreter = python if python and peer != MILLRACE else sys.executable
            verdict = Verdict()
            for trace in _traces(interpreter, peer, scenario, histories):
                verdict.add(judge(trace))
            rows.append(
                {"library": peer, "version": version_of(interpreter, peer), "scenario": scenario, **asdict(verdict)}
            )
    return rows


def _traces(interpreter: str, peer: str, scenario: str, histories: int) -> list[Trace]:
    command = [interpreter, "-m", "benchmarks.controls.play", peer, scenario, str(histories)]
    ran = subprocess.run(  # noqa: S603 - a fixed command
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    if ran.returncode:
        raise SystemExit(f"{peer}, {scenario}: {ran.stderr[-2000:]}")
    return [Trace(**made) for made in json.loads(ran.stdout)]


def version_of(interpreter: str, peer: str) -> str:
    """Return the version of a library as its environment has it."""
    code = f"import importlib.metadata as m; print(m.version({peer!r}))"
    ran = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    return ran.stdout.strip() or "this tree"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    lines = [
        "| fault | library | records | lost | doubled | repeated | out of order | histories that stopped |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        library = row["library"] if row["library"] == MILLRACE else f"{row['library']} {row['version']}"
        numbers = (row[name] for name in ("records", "lost", "doubled", "repeated", "unordered", "stuck"))
        lines.append(f"| {row['scenario']} | {library} | " + " | ".join(f"{number:,}" for number in numbers) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run, print, and keep the rows if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.controls", description=__doc__)
    parser.add_argument("--python", help="interpreter of the environment with the libraries (requirements.txt)")
    parser.add_argument("--histories", type=int, default=HISTORIES, help="seeds of each row")
    parser.add_argument("--out", type=Path, help="a JSON file for the rows, for devtools.reliability")
    options = parser.parse_args()
    rows = run(options.python, options.histories)
    print(table(rows))
    print("\n".join(f"- **{name}**: {meaning}" for name, meaning in SCENARIOS.items()))
    if options.out:
        options.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
