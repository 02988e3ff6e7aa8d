"""Reading a record takes calls in proportion to it, and a record that is set aside is not read to its end."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from app.domains.alerts.alert import AlertFault
from app.domains.alerts.formats import read_alert
from app.domains.alerts.formats.envelopes import _values_of
from app.domains.alerts.records import read_record
from tests.unit.domains.alerts.formats.examples import TIME

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = 10_000


def calls_of(function: Callable[[], object]) -> int:
    """Return how many calls of Python functions a function makes."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(before)
    return calls


class CountedText(str):  # noqa: SLOT000 - its count is no slot, which a text cannot have
    """A text that counts the characters that are copied out of it."""

    copied = 0

    def __getitem__(self, key: Any) -> str:
        found = super().__getitem__(key)
        self.copied += len(found)
        return found


@pytest.mark.parametrize("piece", [b"{}", b"a\n", b'{"a":1}\n'])
def test_a_record_of_the_stream_is_read_up_to_its_first_fault(piece: bytes) -> None:
    """Each of these alerts takes a hundred calls to be told from those of thirty formats: a minute for a megabyte."""

    def read() -> None:
        with pytest.raises(AlertFault, match="alert 1 of more than 101: "):
            read_record(piece * COUNT, TIME)

    assert calls_of(read) < 5 * COUNT


def test_values_behind_one_another_are_not_copied_with_all_that_follows() -> None:
    text = CountedText("{}, " * COUNT)
    assert len(_values_of(text)) == COUNT
    assert text.copied < 10 * COUNT


def test_names_beside_addresses_are_paired_up_to_a_bound() -> None:
    """Each of 64 machines has 64 names and 64 addresses: all pairs took three seconds."""
    machines = [
        {"device": {"hostname": [f"h{n}.{m}" for n in range(64)], "ip": [f"10.0.{m}.{n}" for n in range(64)]}}
        for m in range(64)
    ]
    finding = {"title": "beacon", "uid": "1"}
    record = {"class_uid": 2004, "time": TIME, "finding_info": finding, "severity_id": 3, "evidences": machines}
    assert len(read_alert(record).aliases) == 32
    assert calls_of(lambda: read_alert(record)) < 50_000
