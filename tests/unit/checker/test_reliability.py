"""`docs/reliability.md` is written from a run: a small one here."""

from __future__ import annotations

from app.stream.testing.checker import check_all
from app.stream.testing.faults import KINDS
from benchmarks.controls.__main__ import run
from benchmarks.controls.plan import MERGE
from devtools.mutants.cli import Outcome
from devtools.mutants.running import Ran
from devtools.mutants.trial import Caught
from devtools.reliability import NOT_TESTED, PAGE, page


def test_the_page_says_what_ran_what_was_caught_and_what_was_not_tested() -> None:
    ran = [
        Ran("B: a position | of another shard", "found", 200, Caught("no record is lost", "record 1", 7, 5)),
        Ran("acknowledges early", "prone", 200, Caught()),
        Ran("a → b", "generated", 200, Caught(), equivalent="a pause"),
    ]
    written = page(check_all(range(20)), Outcome(1, {"app.stream.emit": (9, 10)}, ran), run(None, 1, [MERGE]))
    assert "20 histories" in written
    assert all(f"| {step} | {kind} |" in written for step, kinds in KINDS.items() for kind in kinds)
    assert "| B: a position \\| of another shard | no record is lost | 5 |" in written
    assert "| acknowledges early | **not caught** | |" in written
    assert "0 of 0 caught, and 1 equivalent" in written
    assert "| merged shards | millrace | 60 | 0 | 0 | 0 | 0 | 0 |" in written
    assert "| `app.stream.emit` | 10 | 90% |" in written
    assert NOT_TESTED in written


def test_the_committed_page_is_one_that_this_wrote() -> None:
    committed = PAGE.read_text(encoding="utf-8")
    assert "**not caught**" not in committed.split("### Made by rule")[0]
    assert all(f"| {step} |" in committed for step in KINDS)
