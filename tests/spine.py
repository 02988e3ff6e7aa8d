"""How tests run an event through the spine on fake streams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from app.settings import Settings
from app.stream.aggregation_rows import Splitter
from app.stream.deadline import Deadline
from app.stream.emit import Writer
from app.stream.event import read_event
from app.stream.processor import Processor, Result
from app.stream.quarantine import QuarantineDestination
from app.stream.testing import FakeStreams, event_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.storage.objects import Objects
    from app.storage.state import StateStore


class Spine:
    """A processor of one pipeline on fake streams, with a quarantine unless told otherwise."""

    def __init__(
        self,
        pipeline: Any,
        streams: FakeStreams | None = None,
        *,
        quarantine_stream: str = "quarantine",
        objects: Objects | None = None,
        store: StateStore | None = None,
        **settings: Any,
    ) -> None:
        self.streams = streams or FakeStreams()
        self.settings = Settings(output_stream="output", **settings)
        quarantine = QuarantineDestination(quarantine_stream, objects)
        self.processor = Processor(pipeline, Writer(self.streams), quarantine, self.settings, store)

    def run(
        self, payloads: Sequence[bytes], keys: Sequence[str] | None = None, *, start: int = 0, seconds: float = 5
    ) -> Result:
        """Processes one event made of payloads."""
        return self.run_event(event_of(payloads, keys, start=start), seconds)

    def run_event(self, event: bytes, seconds: float = 5) -> Result:
        """Processes one event."""
        batch, faults, _ = Splitter().split(*read_event(event))
        return self.processor.process(batch, faults, Deadline(seconds))

    def output(self) -> list[dict[str, Any]]:
        """What came out, decoded."""
        return [msgspec.json.decode(data) for _, data in self.streams.records["output"]]

    def quarantined(self) -> list[dict[str, Any]]:
        """What was quarantined, decoded."""
        return [msgspec.json.decode(data) for _, data in self.streams.records["quarantine"]]


def orders(count: int, **special: str) -> list[bytes]:
    """Payloads of so many orders; `_3="skip"` says what becomes of number 3."""
    return [msgspec.json.encode({"n": number, "do": special.get(f"_{number}", "emit")}) for number in range(count)]
