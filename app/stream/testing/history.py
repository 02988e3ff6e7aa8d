"""Histories: from a seed to records, shards, a pipeline, settings and faults; all of it is data."""

from __future__ import annotations

import random
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

from app.stream.testing.faults import KINDS, Fault, random_faults

if TYPE_CHECKING:
    from collections.abc import Sequence

STREAMS = ("input", "second")
BAD_KINDS = ("quarantine", "raise", "bad_json", "bad_type", "bad_output", "too_few")
USUAL_KINDS = ("ok",) * 12 + ("later", "skip", "skip", "done", "done")
LARGE_BYTES = (0, 9_000, 9_000, 30_000)  # two of the middle ones fill an aggregate, the last is larger than one
INLINE_BYTES = 250, 347  # the table takes none of the states of 300 bytes, or those of a key's first nine records
FIRST_AFTER_S = 2.0  # with LATEST: the mapping has found the tip of each shard by then


@dataclass(frozen=True, slots=True)
class Sent:
    """A record that a producer puts.

    Attributes:
        rid: Its number; records are put in this order.
        at_s: When, in seconds from the beginning.
        stream: The input stream.
        key: Its partition key.
        kind: What becomes of it.
        fan: Number of its outputs.
        hash_key: An explicit hash key, so that records of one key are in several shards.
        aggregate: Records of one number are one aggregated record.
        life: In which life of the stream: before a later one it is deleted and made anew.
        pad: Bytes added to each of its outputs.
    """

    rid: int
    at_s: float
    stream: str
    key: str
    kind: str = "ok"
    fan: int = 1
    hash_key: str | None = None
    aggregate: int | None = None
    life: int = 0
    pad: int = 0

    def __str__(self) -> str:
        """Return the record in words."""
        more = [f"{self.fan} outputs"] * (self.fan != 1)
        more += [f"hash key {self.hash_key}"] * (self.hash_key is not None)
        more += [f"in aggregate {self.aggregate}"] * (self.aggregate is not None)
        more += [f"in life {self.life}"] * bool(self.life)
        more += [f"{self.pad} more bytes"] * bool(self.pad)
        return " ".join([f"{self.rid} at {self.at_s:.3f} s on {self.stream}, key {self.key}: {self.kind}", *more])


class Damage(NamedTuple):
    """An item of the table that cannot be read, or is too large to be written, until a moment after the beginning."""

    key: str
    until_s: float
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class Reshard:
    """A change of an input stream's shards: a split of one, or a merge of two neighbours."""

    at_s: float
    stream: str
    splits: bool
    index: int

    def __str__(self) -> str:
        """Return the change in words."""
        return f"{'split' if self.splits else 'merge'} {self.index} at {self.at_s:.3f} s on {self.stream}"


@dataclass(frozen=True, slots=True)
class History:
    """A run of the spine, decided by its seed.

    Attributes:
        seed: Also of what is left to chance while it runs: latencies, pauses, the order of calls.
        stateful: Whether outputs depend on all earlier records of their key.
        worker: Whether mapping and function are one process, with a checkpoint and a lease; else the mapping is a
            service's and the function is invoked, as in Lambda.
        records: The input.
        reshards: Changes of the shards.
        faults: The plan of faults.
        shards: Shards of each input stream at the beginning.
        batch_size: Of the mapping.
        factor: `ParallelizationFactor`.
        partial: Whether the mapping honours `batchItemFailures`.
        bisect: `BisectBatchOnFunctionError`.
        timeout_s: Of the function.
        roles: Number of roles in use.
        aggregates: Whether outputs of a key travel in aggregated records.
        compute_s: Time that the pipeline takes for a record.
        weight: Bytes of each state.
        inline_bytes: The largest state that is kept in the table itself.
        quarantine: `stream`, `location`, `both` or `none`.
        skew_s: By how much the clocks of processes are ahead of the services'.
        shared: Whether several partition keys have one state.
        systemic_s: From when to when the pipeline raises on everything, if it does.
        latest: Whether the mapping starts at LATEST, before there are records.
        versions_s: When the pipeline's model changes.
        damaged: An item that cannot be read or written for a time.
        put_s: By how much later a call of PutRecords answers at most.
        early_s: Until when records of the kind `later` are handed back.
        call_records: The largest number of records in a call of PutRecords.
    """

    seed: int
    stateful: bool = False
    worker: bool = False
    records: Sequence[Sent] = ()
    reshards: Sequence[Reshard] = ()
    faults: Sequence[Fault] = ()
    shards: int = 1
    batch_size: int = 10
    factor: int = 1
    partial: bool = True
    bisect: bool = False
    timeout_s: float = 5.0
    roles: int = 1
    aggregates: bool = False
    compute_s: float = 0.0
    weight: int = 0
    inline_bytes: int = 390_000
    quarantine: str = "stream"
    skew_s: float = 0.0
    shared: bool = False
    systemic_s: tuple[float, float] | None = None
    latest: bool = False
    versions_s: tuple[float, ...] = ()
    damaged: Damage | None = None
    put_s: float = 0.0
    early_s: float = 0.0
    call_records: int = 500

    def settings(self) -> str:
        """Return the settings that differ from the usual ones, in words."""
        shown = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in {"records", "reshards", "faults"} and value != field.default:
                shown.append(f"{field.name}={value}")
        return " ".join(shown)

    @property
    def lives(self) -> int:
        """Return how often the input streams are made."""
        return 1 + max((each.life for each in self.records), default=0)


def make_history(seed: int) -> History:
    """Return the history of a seed."""
    rng = random.Random(seed)  # noqa: S311 - a simulation
    stateful, worker = rng.random() < 0.5, rng.random() < 0.5  # noqa: PLR2004 - as often as not
    streams = STREAMS if rng.random() < 0.15 else STREAMS[:1]  # noqa: PLR2004
    quarantine = rng.choice(("stream", "stream", "location", "both") * 3 + ("none",))
    spills = stateful and rng.random() < 0.3  # noqa: PLR2004
    timeout_s = rng.choice((3.0, 5.0, 15.0))
    partial = rng.random() < 0.85  # noqa: PLR2004
    shared = stateful and rng.random() < 0.2  # noqa: PLR2004
    steps = [step for step in KINDS if _has(step, stateful, worker, spills, quarantine)]
    records = _records(rng, streams, never_bad=quarantine == "none")
    last_s = max((each.at_s for each in records), default=0.0)
    reshards = _reshards(rng, streams, last_s)
    latest = len(streams) == 1 and rng.random() < 0.15  # noqa: PLR2004
    if latest:
        records = [replace(each, at_s=each.at_s + FIRST_AFTER_S) for each in records]
        reshards = [replace(each, at_s=each.at_s + FIRST_AFTER_S) for each in reshards]
    elif rng.random() < 0.08:  # noqa: PLR2004
        records = _in_two_lives(records)
    damaged = None
    if stateful and not shared and len(streams) == 1 and rng.random() < (0.4 if quarantine == "none" else 0.05):
        damaged = Damage(rng.choice(records).key, 60.0, too_large=rng.random() < 0.5)  # noqa: PLR2004
    history = History(
        seed=seed,
        stateful=stateful,
        worker=worker,
        records=records,
        reshards=reshards,
        faults=random_faults(rng, steps),
        shards=rng.choice((1, 1, 2, 3)),
        batch_size=rng.choice((1, 3, 10, 10, 25, 100)),
        # Batches of one shard run side by side, and only the records of a partition key are sure to come in order.
        factor=1 if shared else rng.choice((1, 1, 1, 2, 3)),
        partial=partial,
        bisect=rng.random() < 0.2,  # noqa: PLR2004
        timeout_s=timeout_s,
        roles=rng.choice((1, 1, 2, 3)),
        aggregates=seed % 3 == 0,
        # A batch that comes again as a whole has to fit into the time as a whole.
        compute_s=rng.choice((0.0, 0.0, 0.0, 0.001, 0.006)) * timeout_s if partial else 0.0,
        weight=rng.choice((0, 50)) if not spills else 300,
        inline_bytes=rng.choice(INLINE_BYTES) if spills else 390_000,
        quarantine=quarantine,
        skew_s=rng.choice((0.0, 0.0, -6.0, 6.0, 3600.0)),
        shared=shared,
        systemic_s=(begin := rng.uniform(0, 2), begin + rng.uniform(0.5, 6)) if rng.random() < 0.08 else None,  # noqa: PLR2004
        latest=latest,
        versions_s=tuple(sorted(rng.uniform(0, last_s + 2) for _ in range(rng.choice((0, 0, 0, 1, 3))))),
        damaged=damaged,
        # An aggregate comes again as a whole: with slow calls its outputs of one key may never be done in time.
        put_s=0.0
        if not partial or any(each.aggregate for each in records)
        else rng.choice((0.0,) * 4 + (0.07, 0.22)) * timeout_s,
        early_s=rng.choice((0.0, 0.0, 3.0)),
        call_records=rng.choice((500, 500, 500, 1, 4)),
    )
    return _in_small_steps(history) if partial and rng.random() < 0.1 else history  # noqa: PLR2004


def _in_small_steps(history: History) -> History:
    """Let all records be in one batch, of which some are computed while calls with others are under way."""
    first_s = min((each.at_s for each in history.records), default=0.0)
    return replace(
        history,
        records=[replace(each, at_s=first_s) for each in history.records],
        batch_size=100,
        compute_s=0.012 * history.timeout_s,
        call_records=1 + history.seed % 3,
        aggregates=False,
        put_s=0.0,  # in what is left of the time the outputs of one record are put one after the other
    )


def _in_two_lives(records: Sequence[Sent]) -> list[Sent]:
    """Let the second half of the records be put after their streams were deleted and made anew."""
    middle = len(records) // 2
    since_s, group = records[middle].at_s, records[middle].aggregate
    return [
        replace(each, life=1, at_s=each.at_s - since_s)
        if each.rid >= middle and (group is None or each.aggregate != group)
        else each
        for each in records
    ]


def _has(step: str, stateful: bool, worker: bool, spills: bool, quarantine: str) -> bool:
    """Return whether a history of this kind makes calls of a step."""
    if step in {"load state", "commit state"}:
        return stateful
    if step == "get object":
        return spills
    if step == "put object":
        return spills or quarantine in {"location", "both"}
    if step == "put to quarantine":
        return quarantine in {"stream", "both"}
    return worker or step != "save checkpoint"


def _records(rng: random.Random, streams: Sequence[str], *, never_bad: bool) -> list[Sent]:
    """Return records of a few keys, in bursts or all at once; with `never_bad` each can succeed."""
    keys = [f"k{number}" for number in range(rng.choice((1, 2, 3, 6)))]
    bad, aggregated, explicit = rng.choice((0, 0, 0.05, 0.2, 0.6)), rng.choice((0, 0, 0.3)), rng.random() < 0.1  # noqa: PLR2004
    bad = 0 if never_bad else bad
    wide = rng.random() < 0.3  # noqa: PLR2004 - several outputs a record
    pads = rng.choice(((0,),) * 5 + (LARGE_BYTES,))
    pauses_s = (0.0,) if rng.random() < 0.3 else (0, 0, 0, 0.1, 0.6, 2.5)  # noqa: PLR2004
    found: list[Sent] = []
    at_s, group = 0.0, 0
    count = rng.choice((5, 8, 12, 20, 30, 60))
    while len(found) < count:
        at_s += rng.choice(pauses_s)
        stream = rng.choice(streams)
        group += 1
        together = rng.randint(2, 6) if rng.random() < aggregated else 1
        key = rng.choice(keys)
        for _ in range(min(together, count - len(found))):
            kind = rng.choice(BAD_KINDS) if rng.random() < bad else rng.choice(USUAL_KINDS)
            found.append(
                Sent(
                    rid=len(found),
                    at_s=at_s,
                    stream=stream,
                    key=key,
                    kind=kind,
                    fan=rng.choice((0, 2, 3)) if wide and rng.random() < 0.4 else 1,  # noqa: PLR2004
                    hash_key=str(rng.choice((1, 2**128 - 1))) if explicit and together == 1 else None,
                    aggregate=group if together > 1 else None,
                    pad=rng.choice(pads),
                )
            )
    return found


def _reshards(rng: random.Random, streams: Sequence[str], last_s: float) -> list[Reshard]:
    count = rng.choice((0, 0, 0, 1, 2))
    return sorted(
        (
            Reshard(rng.uniform(0, last_s + 0.5), rng.choice(streams), rng.random() < 0.6, rng.randrange(4))  # noqa: PLR2004
            for _ in range(count)
        ),
        key=lambda each: each.at_s,
    )
