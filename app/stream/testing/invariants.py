"""The invariants: named functions over the facts of a run, each yielding what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from app.stream.testing.evidence import PARKED, determined
from app.stream.testing.history import BAD_KINDS
from app.stream.testing.pipelines import LOOSE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.stream.testing.evidence import Evidence

REASONS = {
    "bad_json": "not_json",
    "bad_type": "mistyped_field",
    "bad_output": "bad_partition_key",
    "quarantine": "asked_for",
    "raise": "pipeline_error",
    "too_few": "pipeline_error",
}
"""The reason for which each kind of record that can never succeed is quarantined."""

Invariant: TypeAlias = "Callable[[Evidence], Iterator[str]]"


class Violation(NamedTuple):
    """A broken invariant."""

    invariant: str
    details: str


def everything_settles(evidence: Evidence) -> Iterator[str]:
    """Once faults stop, everything that was put is done within a bounded number of invocations."""
    if not evidence.settled:
        left = [rid for rid in evidence.sent if not evidence.is_safe(rid)]
        yield f"after {evidence.invocations} invocations not all is done; unsafe: {left[:10]}"


def no_record_is_lost(evidence: Evidence) -> Iterator[str]:
    """Each record has all its outputs on their streams, or is in quarantine, or asks for neither."""
    for rid, sent in evidence.sent.items():
        waits = evidence.aside.get(rid) == {PARKED}
        if not evidence.is_safe(rid) or (waits and (sent.kind in BAD_KINDS or evidence.missing.get(rid))):
            yield f"record {rid} ({evidence.sent[rid].kind}) has no outcome"


def first_deliveries_are_in_order(evidence: Evidence) -> Iterator[str]:
    """Per partition key, outputs appear for the first time in the order of their records."""
    for stream, outputs in evidence.outputs.items():
        if stream == LOOSE:
            continue
        last: dict[str, tuple[int, int]] = {}
        known: set[tuple[int, int]] = set()
        for key, output in outputs:
            sent = evidence.sent[output.rid]
            at, place = (output.rid, output.part), f"{sent.stream}/{key}"
            if at in known or sent.hash_key is not None:
                continue
            known.add(at)
            if last.get(place, at) > at:
                yield f"{stream}: record {output.rid}'s output {output.part} comes after one of {last[place]}"
            last[place] = max(last.get(place, at), at)


def quarantined_exactly_what_can_never_succeed(evidence: Evidence) -> Iterator[str]:
    """A record is in quarantine if and only if it can never succeed, and for its reason; no passing fault does it."""
    for rid, sent in evidence.sent.items():
        reasons = evidence.aside.get(rid, set()) - {PARKED}
        if reasons and REASONS.get(sent.kind) not in reasons:
            yield f"record {rid} ({sent.kind}) is in quarantine: {', '.join(sorted(reasons))}"
        if sent.kind in BAD_KINDS and evidence.missing.get(rid) == set() and rid not in evidence.aside:
            yield f"record {rid} ({sent.kind}) has outputs"


def repetition_is_bounded(evidence: Evidence) -> Iterator[str]:
    """An output is taken at most once for each delivery of its record, and once more for each lost answer."""
    for output_id, copies in evidence.copies.items():
        rid = _rid_of(evidence, output_id)
        most = evidence.deliveries[rid] + evidence.ambiguous
        if copies > most:
            yield f"{output_id} was taken {copies} times: {most} at most"


def states_are_those_of_a_clean_run(evidence: Evidence) -> Iterator[str]:
    """Stateful pipelines end in the state of a single run without faults, and gave its outputs."""
    history = evidence.history
    if not history.stateful or not evidence.settled:
        return
    for key, clean in evidence.clean.items():
        found = evidence.states.get(key)
        if found is None or found.count != clean.count:
            yield f"state of {key} has {found.count if found else 'nothing'}, not {clean.count} records"
        elif determined(history) and found.digest != clean.digest:
            yield f"state of {key} is of other records than those of a clean run"
    if determined(history):
        for outputs in evidence.outputs.values():
            for _, output in outputs:
                clean = evidence.chains[output.rid]
                if (output.count, output.chain) != (clean.count, clean.digest):
                    yield f"record {output.rid}'s output is the {output.count}th of its key, not the {clean.count}th"


def objects_are_those_that_items_name(evidence: Evidence) -> Iterator[str]:
    """At rest, the state's location holds the objects that items name."""
    for name in sorted(evidence.named - set(evidence.objects)):
        yield f"object {name} is named and is not there"


INVARIANTS: tuple[Invariant, ...] = (
    everything_settles,
    no_record_is_lost,
    first_deliveries_are_in_order,
    quarantined_exactly_what_can_never_succeed,
    repetition_is_bounded,
    states_are_those_of_a_clean_run,
    objects_are_those_that_items_name,
)
"""Those that are checked at the end; the others are noted as they are broken, in `Evidence.wrong`."""


def violations(evidence: Evidence) -> list[Violation]:
    """Return every broken invariant of a run, those found while it ran first."""
    found = [Violation(name, details) for name, details in evidence.wrong]
    for invariant in INVARIANTS:
        found += [Violation(invariant.__name__.replace("_", " "), details) for details in invariant(evidence)]
    return found


def _rid_of(evidence: Evidence, output_id: str) -> int:
    stream, _, number, sub, *_ = output_id.split("/")
    return evidence.at.get((stream, number, int(sub)), -1)
