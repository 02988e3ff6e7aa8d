"""`millrace quarantine replay`: a record whose raw bytes are not here holds back its own partition key alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from app.cli import quarantine
from app.errors import QuarantineError
from app.stream import replay
from app.stream.quarantine import QuarantinedRecord, RecordSource

if TYPE_CHECKING:
    from collections.abc import Iterable


def record(number: int, key: str, data: bytes | None) -> QuarantinedRecord:
    source = RecordSource("in", "shardId-000000000000", str(number), 0, key)
    location = None if data is not None else "https://nowhere.example/a"
    return QuarantinedRecord(f"in/{number}/0", "not_json", "", source, "echo", "", data, location)


def test_a_pointer_that_leads_nowhere_holds_back_its_key_and_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [record(1, "a", b"1"), record(2, "a", None), record(3, "a", b"3"), record(4, "b", b"4")]
    put: list[tuple[str, bytes]] = []

    def feed(_stream: str, records: Iterable[tuple[str, bytes]]) -> list[int]:
        pairs = list(records)
        put.extend(pairs)
        return [len(pairs)]

    monkeypatch.setenv("QUARANTINE_STREAM", "aside")
    monkeypatch.setattr(replay, "read_stream", lambda *_: map(msgspec.json.encode, found))
    monkeypatch.setattr(quarantine, "feed_stream", feed)
    with pytest.raises(QuarantineError, match="2 records are left out, the first is in/2/0"):
        quarantine.replay()
    assert put == [("a", b"1"), ("b", b"4")]
    assert "2 of 2 records put back" in capsys.readouterr().out
