"""Faults by name: those that a tester once found in the delivery, and ten that such code is prone to.

Each is an edit of one module's text. Where the text has changed, the edit is to be written again: a test says so.
"""

# ruff: noqa: E501 - the text of other modules stands here as it is, on one line

from __future__ import annotations

from dataclasses import dataclass

from devtools.mutants.generated import source_of


class EditError(Exception):
    """An edit's text does not stand in its module exactly once."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault on purpose.

    Attributes:
        name: What it is; those with a letter were found by a tester.
        module: The module.
        edits: Text that stands in it once, and what takes its place.
        within: In how many histories the checker is to find it.
        tests: Tests that find it, where no history has such a thing.
    """

    name: str
    module: str
    edits: tuple[tuple[str, str], ...]
    within: int = 200
    tests: tuple[str, ...] = ()

    def source(self) -> str:
        """Return the module's text with the fault.

        Raises:
            EditError: The text has changed.
        """
        text = source_of(self.module)
        for before, after in self.edits:
            if text.count(before) != 1:
                raise EditError(f"{self.name}: stands {text.count(before)} times in {self.module}: {before!r}")
            text = text.replace(before, after)
        return text


_EMIT, _PROCESSOR, _EXECUTION = "app.stream.emit", "app.stream.processor", "app.stream.execution"

FOUND = (
    Mutant(
        "A: outputs in flight leave no time to commit",
        _PROCESSOR,
        (("deadline=deadline.earlier(self._commit_s),", "deadline=deadline,"),),
        within=1000,
        tests=("tests/unit/stream/test_chunks.py::test_outputs_that_take_all_the_time_leave_some_for_the_state",),
    ),
    Mutant(
        "B: a position is compared with one of another shard or stream",
        "app.storage.state",
        (("last = self.applied.get(origin) if origin else None", "last = max(self.applied.values(), default=None)"),),
    ),
    Mutant(
        "C: quarantined records of a key wait for each other",
        "app.stream.quarantine",
        (("[data], ordered=False)", "[data])"),),
        tests=("tests/unit/stream/test_quarantine.py",),
    ),
    Mutant(
        "D: a key's fault holds the whole batch, again and again",
        _EXECUTION,
        (
            ("                if park(part, error):", "                if False:"),
            ('found.outcomes.retry_from(start, "key_at_fault")', 'found.outcomes.retry_from(0, "key_at_fault")'),
        ),
        within=1000,
        tests=("tests/unit/stream/test_parking.py",),
    ),
    Mutant(
        "E: a replay gives other outputs under the same ids",
        "app.stream.batch",
        (
            (
                "rows, ordinals, datas, versions = outputs.rows, outputs.ordinals, outputs.datas, outputs.versions",
                'rows, ordinals, datas, versions = outputs.rows, outputs.ordinals, outputs.datas, [""] * len(outputs.rows)',
            ),
        ),
    ),
    Mutant(
        "F: LATEST is a time of the reader's clock",
        "app.stream.shards",
        (
            ("now_s, last_s = self.service.time(), 0.0", "now_s, last_s = self.clock.time(), 1e12"),
            (
                'self.start = StartingPosition("AT_TIMESTAMP", now_s - SKEW_S)',
                'self.start = StartingPosition("AT_TIMESTAMP", now_s)',
            ),
        ),
        tests=("tests/unit/stream/test_mapping.py",),
    ),
    Mutant(
        "H: an alert's date moves the clock, however far ahead it is",
        "app.domains.alerts.alert",
        (("return self.alert.time > self.latest", "return False"),),
        tests=("tests/unit/domains/alerts/test_event_time.py",),
    ),
    Mutant(
        "I: a fault of the machine quarantines record after record",
        _EXECUTION,
        (("found.failure = faults.raised(error, part)", "found.failure = None"),),
    ),
    Mutant(
        "J: PutRecords' count is believed, whatever its results say",
        "app.stream.puts",
        (
            (
                "    codes = [result.error_code for",
                "    if not answer.failed_record_count:\n        return {}\n    codes = [result.error_code for",
            ),
        ),
    ),
)
"""Faults that a tester found, put back."""

PRONE = (
    Mutant(
        "acknowledges early",
        _EMIT,
        (
            (
                "        size = size_of(keys, datas)\n",
                "        size = size_of(keys, datas)\n        self._tracker.accepted([lane.rows[entry] for entry in entries])\n",
            ),
            ("        self._tracker.accepted(rows)\n", ""),
        ),
    ),
    Mutant(
        "drops the failed part of a PutRecords call",
        _EMIT,
        (
            (
                "accepted = [entry for index, entry in enumerate(entries) if index not in failed] if failed else entries",
                "accepted = entries",
            ),
            ("        if failed:\n            self._pause", "        if not accepted:\n            self._pause"),
        ),
    ),
    Mutant(
        "forgets to hold back a later output of a key",
        "app.stream.lane",
        (("if not (self.ordered or self.aggregates):", "if True:"),),
    ),
    Mutant(
        "commits before it emits",
        _PROCESSOR,
        (
            (
                "        routed = self._router.finish()\n",
                "        self._state.commit(len(batch), self._deadline)\n        routed = self._router.finish()\n",
            ),
        ),
    ),
    Mutant(
        "commits without a condition",
        "app.storage.state",
        (("if (now and now.revision) != (before and before.revision):", "if False:"),),
        within=1000,
    ),
    Mutant(
        "resumes after the first unsafe record",
        _PROCESSOR,
        (("acknowledged = batch.first_row_of(safe)", "acknowledged = batch.first_row_of(min(len(batch), safe + 1))"),),
    ),
    Mutant("reads a child before its parent", "app.stream.shards", (("each.parents.isdisjoint(unfinished)", "True"),)),
    Mutant(
        "quarantines on a fault that passes",
        _EXECUTION,
        (
            (
                "            if isinstance(error, MillraceError) and not isinstance(error, KEY_FAULTS):\n                raise\n",
                "",
            ),
        ),
    ),
    Mutant(
        "makes ids from a clock",
        "app.stream.batch",
        (
            (
                "        stream, shards, numbers, subs = self.stream, ",
                '        from time import time_ns\n        stage = f"{stage}{time_ns()}"\n        stream, shards, numbers, subs = self.stream, ',
            ),
        ),
    ),
    Mutant(
        "swallows an exception of a lane's call",
        _EMIT,
        (("            failed = dict.fromkeys(range(len(entries)), str(error))", "            failed = {}"),),
    ),
)
"""Faults that code of this kind is prone to."""

NAMED = (*FOUND, *PRONE)
