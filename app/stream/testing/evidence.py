"""Facts of a run for the invariants: records put, outputs taken, records set aside, checkpoints."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from app.stream.quarantine import QuarantinedRecord
from app.stream.testing.pipelines import Chain, role_of

if TYPE_CHECKING:
    from app.stream.testing.history import History, Sent


class Seen(msgspec.Struct, gc=False):
    """An output as it is on its stream."""

    id: str
    rid: int
    part: int
    count: int = 0
    chain: str = ""


class _Source(msgspec.Struct, gc=False):
    stream: str
    sequence_number: str
    sub_sequence_number: int


class _Aside(msgspec.Struct, gc=False):
    id: str
    reason: str
    source: _Source
    location: str | None = None


_ID_PARTS = 6  # `Batch.output_id`'s; the version of what computed the output may follow
GOOD_KINDS = ("ok", "later")
PARKED = "key_parked"  # the reason of a record that waits for its state key
_record = msgspec.json.Decoder(QuarantinedRecord)
_seen = msgspec.json.Decoder(Seen)
_aside = msgspec.json.Decoder(_Aside)


@dataclass(slots=True)
class Evidence:
    """Facts of one run.

    Attributes:
        history: The run's.
        sent: The records that were put, by number.
        at: The record at each stream, sequence number and sub-sequence number.
        chains: With state: the state after each record, if it is determined.
        clean: The state of each stream's keys after a single run without faults.
        outputs: What each output stream took: key and output, in order.
        copies: How often each output was taken.
        aside: The reasons for which each record was quarantined.
        deliveries: How often each record was handed to the function.
        wrong: What the run itself found wrong, as name of the invariant and details.
        invocations: How many there were.
        settled: Whether everything was done in the end.
    """

    history: History
    sent: dict[int, Sent] = field(default_factory=dict)
    at: dict[tuple[str, str, int], int] = field(default_factory=dict)
    chains: dict[int, Chain] = field(default_factory=dict)
    clean: dict[str, Chain] = field(default_factory=dict)
    outputs: dict[str, list[tuple[str, Seen]]] = field(default_factory=lambda: defaultdict(list))
    copies: Counter[str] = field(default_factory=Counter)
    contents: dict[str, bytes] = field(default_factory=dict)
    ids: dict[tuple[int, int], str] = field(default_factory=dict)
    missing: dict[int, set[int]] = field(default_factory=dict)
    aside: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))
    deliveries: Counter[int] = field(default_factory=Counter)
    wrong: list[tuple[str, str]] = field(default_factory=list)
    _parked: dict[int, bytes] = field(default_factory=dict)
    invocations: int = 0
    settled: bool = False
    ambiguous: int = 0
    states: dict[str, Chain] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)

    def put(self, record: Sent, number: str, sub: int) -> None:
        """Note a record that was put, and what is to become of it."""
        history = self.history
        self.sent[record.rid] = record
        self.at[record.stream, number, sub] = record.rid
        if record.kind in GOOD_KINDS:
            self.missing[record.rid] = set(range(record.fan))
            if history.stateful:
                key = state_key(record.key, history)
                chain = self.clean.get(key, Chain()).after(record.rid, history.weight)
                self.clean[key] = chain
                self.chains[record.rid] = chain

    def took(self, stream: str, key: str, data: bytes) -> None:
        """Note a record that an output stream or the quarantine took."""
        if stream == "quarantine":
            self.set_aside(data)
            return
        output = _seen.decode(data)
        self.outputs[stream].append((key, output))
        self.copies[output.id] += 1
        base = "/".join(output.id.split("/")[:_ID_PARTS])
        if self.ids.setdefault((output.rid, output.part), base) != base:
            self.wrong.append(("one output, one id", f"{output.id} of record {output.rid} had another id before"))
        if self.contents.setdefault(output.id, data) != data and (
            not self.history.stateful or determined(self.history)
        ):
            self.wrong.append(("one id, one content", f"{output.id} of record {output.rid} has two contents"))
        missing = self.missing.get(output.rid)
        if missing is not None:
            missing.discard(output.part)
        if role_of(output.part, self.history.roles) != ("default" if stream == "output" else stream):
            self.wrong.append(("each output to its role", f"{output.id} is on {stream}"))

    def set_aside(self, data: bytes) -> None:
        """Note a quarantined record; a pointer to an object is none."""
        found = _aside.decode(data)
        if found.location is None:
            source = found.source
            rid = self.at.get((source.stream, source.sequence_number, source.sub_sequence_number))
            if rid is None:
                self.wrong.append(("quarantined exactly what can never succeed", f"{found.id} is no record's"))
            else:
                self.aside[rid].add(found.reason)
                self._parked[rid] = data if found.reason == PARKED else self._parked.get(rid, b"")

    def quarantined(self) -> list[QuarantinedRecord]:
        """Return the records of parked keys in the order of their positions, as the quarantine has them."""
        records = [_record.decode(data) for _, data in sorted(self._parked.items()) if data]
        return sorted(
            records,
            key=lambda each: (each.source.stream, int(each.source.sequence_number), each.source.sub_sequence_number),
        )

    def is_safe(self, rid: int) -> bool:
        """Return whether a record's outputs are all taken, or it was set aside, or it asks for neither."""
        kind = self.sent[rid].kind
        if kind in GOOD_KINDS:
            return not self.missing[rid] or rid in self.aside
        return kind in {"skip", "done"} or rid in self.aside

    def records_at(self, stream: str, number: str) -> list[int]:
        """Return the records of a Kinesis record: one, or those of an aggregate."""
        found: list[int] = []
        while (rid := self.at.get((stream, number, len(found)))) is not None:
            found.append(rid)
        return found


def state_key(key: str, history: History) -> str:
    """Return the state key of a partition key."""
    return "shared" if history.shared else key


def determined(history: History) -> bool:
    """Return whether a state's records have one order: they are in one lineage of shards and in one lane."""
    one_stream = len({each.stream for each in history.records}) <= 1
    return one_stream and not history.shared and not any(each.hash_key for each in history.records)


def payload_of(record: Sent) -> bytes:
    """Return a record's payload."""
    if record.kind == "bad_json":
        return b'{"rid":%d,' % record.rid
    if record.kind == "bad_type":
        return b'{"rid":"%d"}' % record.rid
    document: dict[str, Any] = {"rid": record.rid, "kind": record.kind, "fan": record.fan}
    if record.pad:
        document["pad"] = record.pad
    return msgspec.json.encode(document)
