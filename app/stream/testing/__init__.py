"""The public test kit: a pipeline on the delivery spine, with the services in memory."""

from app.stream.testing.spine import (
    FIRST_SEQUENCE_NUMBER,
    FakeStreams,
    MemorySpine,
    SimulatedCrash,
    event_of,
    sequence_number,
)

__all__ = ["FIRST_SEQUENCE_NUMBER", "FakeStreams", "MemorySpine", "SimulatedCrash", "event_of", "sequence_number"]
