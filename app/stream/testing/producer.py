"""The producers of a simulated run: they put the history's records on the streams, and change the streams' shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.stream.aggregation_writer import Packer
from app.stream.testing.evidence import payload_of
from app.stream.testing.simulation import BEGIN_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.stream.testing.evidence import Evidence
    from app.stream.testing.history import History, Reshard, Sent
    from app.stream.testing.kinesis import SimulatedKinesis
    from app.stream.testing.simulation import Timeline


class Producer:
    """Puts records when they are due.

    Attributes:
        streams: The names of the input streams.
        last_s: When the last record or change is due.
        expected: How many records there are up to the present life of the streams.
    """

    def __init__(
        self, history: History, timeline: Timeline, kinesis: SimulatedKinesis, evidence: Evidence,
        note: Callable[[str], object],
    ) -> None:  # fmt: skip
        """Make the input streams; nothing is put yet."""
        self._history, self._timeline, self._kinesis = history, timeline, kinesis
        self._evidence, self._note = evidence, note
        self.streams = sorted({each.stream for each in history.records} | {each.stream for each in history.reshards})
        self.last_s, self.expected = BEGIN_S, 0
        for stream in self.streams:
            kinesis.create_stream(StreamName=stream, ShardCount=history.shards)

    def begin_life(self, life: int) -> None:
        """Schedule the records of one life of the streams; before a later one they are deleted and made anew."""
        history, began_s = self._history, self._timeline.now_s
        if life:
            for stream in self.streams:
                self._kinesis.delete_stream(StreamName=stream)
                self._kinesis.create_stream(StreamName=stream, ShardCount=history.shards)
                self._note(f"{stream} was deleted and made anew")
        moments: dict[float, list[Sent]] = {}
        for record in history.records:
            if record.life == life:
                moments.setdefault(record.at_s, []).append(record)
        for at_s, records in moments.items():
            self._at(began_s + at_s, lambda records=records: self._put(records))  # type: ignore[misc]  # bound here
        for reshard in history.reshards if not life else ():
            self._at(began_s + reshard.at_s, lambda reshard=reshard: self._reshard(reshard))  # type: ignore[misc]
        self.expected = sum(each.life <= life for each in history.records)

    def _at(self, moment_s: float, action: Callable[[], object]) -> None:
        self._timeline.at(moment_s, action)
        self.last_s = max(self.last_s, moment_s)

    def _put(self, records: Sequence[Sent]) -> None:
        """Put records, those of one aggregate as one."""
        groups: dict[tuple[str, object], list[Sent]] = {}
        for record in records:
            name = f"record {record.rid}" if record.aggregate is None else record.aggregate
            groups.setdefault((record.stream, name), []).append(record)
        for (stream, _), group in groups.items():
            first, data = group[0], payload_of(group[0])
            if first.aggregate is not None:
                packer = Packer()
                for record in group:
                    packer.add(record.key, payload_of(record))
                data = packer.pack()
            entry = {"PartitionKey": first.key, "Data": data}
            if first.hash_key is not None:
                entry["ExplicitHashKey"] = first.hash_key
            answer = self._kinesis.put_record(StreamName=stream, **entry)
            for sub, record in enumerate(group):
                self._evidence.put(record, answer["SequenceNumber"], sub)
            self._note(f"put {[each.rid for each in group]} of {first.key} on {stream} {answer['ShardId'][-2:]}")

    def _reshard(self, reshard: Reshard) -> None:
        """Split an open shard, or merge two neighbours."""
        name = reshard.stream
        shards = [each for each in self._kinesis.streams[name].shards if not each.closed]
        shards.sort(key=lambda each: each.first)
        at = reshard.index % len(shards)
        shard, shard_id = shards[at], shards[at].shard_id
        if reshard.splits or len(shards) == 1:
            middle = str((shard.first + shard.last) // 2)
            self._kinesis.split_shard(StreamName=name, ShardToSplit=shard_id, NewStartingHashKey=middle)
            self._note(f"split {shard_id[-2:]} of {name}")
        else:
            other_id = shards[at - 1 if at else 1].shard_id
            self._kinesis.merge_shards(StreamName=name, ShardToMerge=shard_id, AdjacentShardToMerge=other_id)
            self._note(f"merge {shard_id[-2:]} and {other_id[-2:]} of {name}")
