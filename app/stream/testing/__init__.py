"""The public test kit: a pipeline on the delivery spine, with the services in memory.

`MemorySpine` runs one pipeline over records, event by event: for tests of a pipeline. `stream.PipelineStream`, and the
fixtures of `app.pytest_plugin`, put a pipeline behind a simulated stream with faults.

The checker runs the real mapping, spine and state over simulated services, on one thread, from a seed:

    from app.stream.testing.checker import check, check_all, shrink
    from app.stream.testing.history import make_history

    checked = check(make_history(7), traced=True)  # .violations, .fired, .trace, .digest
    report = check_all(range(1000))               # .failures by seed, .fired by step and kind
    small = shrink(make_history(7))               # fewer records and faults that still break the same invariant

A history is data (`history.History`): records, shards, settings and a plan of faults (`faults.KINDS` has the steps and
kinds). `services` and `kinesis.SimulatedKinesis` (boto3's client, as far as it is called) stand for AWS on the time of
`simulation.Timeline`; `world.World` puts them together; `invariants.INVARIANTS` are the named checks.
"""

from app.stream.testing.simulation import SimulatedCrash
from app.stream.testing.spine import (
    FIRST_SEQUENCE_NUMBER,
    FakeStreams,
    MemorySpine,
    event_of,
    sequence_number,
)

__all__ = ["FIRST_SEQUENCE_NUMBER", "FakeStreams", "MemorySpine", "SimulatedCrash", "event_of", "sequence_number"]
