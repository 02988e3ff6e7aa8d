"""A small file that would become large in memory: what of it is held, and what its sender is told."""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import tracemalloc
import zlib
from itertools import chain
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.budgets import MOST_ELEMENTS
from app.domains.alerts.files import cut
from app.domains.alerts.files.driver import run_file
from app.domains.alerts.formats import envelopes, inflate, parts, reading
from app.domains.alerts.formats import file as alert_file
from app.domains.alerts.formats.file import AlertFile
from app.domains.alerts.formats.pieces import InputItem, PieceReader
from app.domains.alerts.formats.recognise import use_own_formats
from app.domains.alerts.formats.scanner import BrokenJsonError, Scanner
from app.domains.alerts.formats.seed import FORMAT
from app.errors import BudgetError
from app.storage.objects import MemoryObjects
from tests.unit.domains.alerts.files.files_for_tests import alert, small_context

if TYPE_CHECKING:
    from collections.abc import Iterator

KIB = 1024
LISTS = b"[" + b"[],\n" * 3_000 + b"[]]"
MANY = b"[" + b"[]," * (MOST_ELEMENTS + 1) + b"[]]"
ONE = json.dumps(alert(1)).encode()


def blocks(data: bytes, size: int = 64 * KIB) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def items(data: bytes, *, holds: bool = True) -> list[InputItem]:
    return list(chain.from_iterable(AlertFile(blocks(data), holds=holds)))


def reasons(data: bytes, *, holds: bool = True) -> list[str]:
    return [each.fault.reason for each in items(data, holds=holds) if each.fault]


class TestLists:
    @pytest.mark.parametrize("holds", [True, False])
    @pytest.mark.parametrize(
        "document", [LISTS, b'{"input":' + LISTS + b"}", b'{"a":1,"input":' + LISTS + b',"input":' + LISTS + b"}"]
    )
    def test_no_more_elements_are_read_than_are_handed_on_together(
        self, document: bytes, holds: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = 0
        element = PieceReader.element

        def counted(self: PieceReader, raw: bytes) -> InputItem:
            nonlocal read
            read += 1
            return element(self, raw)

        monkeypatch.setattr(PieceReader, "element", counted)
        handed = 0
        for batch in AlertFile(blocks(document), holds=holds, batch=100):
            assert len(batch) <= 100
            handed += len(batch)
            assert read == handed
        assert handed == 3_001 * document.count(b"[[")

    @pytest.mark.parametrize("holds", [True, False])
    def test_large_alerts_are_handed_on_by_their_bytes(self, holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alert_file, "BATCH_BYTES", 4 * KIB)
        large = json.dumps(alert(1, other_attributes_dict={"x": "x" * 400})).encode()
        for text in (b"[" + b",".join([large] * 30) + b"]", b"\n".join([large] * 30)):
            sizes = [sum(each.size for each in batch) for batch in AlertFile(blocks(text), holds=holds)]
            assert len(sizes) > 3
            assert max(sizes) < 5 * KIB


class TestObjects:
    """An object without a list of alerts is read whole, within a budget of elements."""

    @pytest.mark.parametrize("holds", [True, False])
    def test_too_many_elements_are_not_parsed(self, holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        parsed: list[str] = []
        monkeypatch.setattr(msgspec.json, "decode", parsed.append)
        [item] = envelopes.unwrapped(f'{{"Records":{MANY.decode()}}}')
        assert (item.fault and item.fault.reason, parsed) == ("too_many_elements", [])
        monkeypatch.undo()
        assert reasons(b'{"Records":' + MANY + b"}", holds=holds) == ["too_many_elements"]

    def test_too_many_alerts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(envelopes, "MOST_PIECES", 100)
        monkeypatch.setattr(alert_file, "MOST_PIECES", 100)
        for document in (b'{"alerts":[' + b",".join([ONE, *[b"{}"] * 100]) + b"]}", b"{}" * 101):
            assert reasons(document) == ["too_many_elements"]
        assert len(items(b'{"alerts":[' + b",".join([ONE] * 100) + b"]}")) == 100

    def test_a_large_file_of_real_alerts_is_within_it(self) -> None:
        many = [alert(number, other_attributes_dict={"url": "/index.html", "port": 80}) for number in range(2_000)]
        assert sum(each.alert is not None for each in items(json.dumps({"alerts": many}).encode())) == 2_000

    def test_too_many_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parts, "LARGEST_RECORD_BYTES", 1_000)
        monkeypatch.setattr(alert_file, "LARGEST_RECORD_BYTES", 1_000)
        many = b",\n".join(b'"k%d":1' % number for number in range(200))
        for text in (b"{\n" + many + b"}", b'{\n"a":"' + b"x" * 2_000 + b'"}', b'{\n"a":' + b"1" * 2_000 + b"}"):
            assert reasons(text + b"\n" + ONE) == ["document_too_large"]
        assert reasons(b'{\n"x":"' + b"x" * 2_000 + b'","input":[' + ONE + b"]}") == []  # a list of alerts is read

    @pytest.mark.parametrize(
        "record",
        [
            pytest.param({"Records": [LISTS.decode()] * 350}, id="texts"),
            pytest.param({"Records": [base64.b64encode(gzip.compress(LISTS)).decode()] * 350}, id="gzip"),
        ],
    )
    def test_what_one_record_holds_in_turn(self, record: object, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each text is small; together they are not."""
        monkeypatch.setattr(envelopes, "MOST_PIECES", 2_000_000)
        found = list(envelopes.unwrapped(record))
        assert sum(each.fault is None for each in found) <= 2 * MOST_ELEMENTS
        assert found[-1].fault is not None
        assert found[-1].fault.reason == "too_many_elements"


class TestSettings:
    @pytest.mark.parametrize("name", ["node_feature", "config"])
    def test_settings_have_a_budget_a_file(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parts, "MOST_SETTINGS_ELEMENTS", 1_000)
        part = json.dumps({f"h{number}": {"os": "Linux"} for number in range(200)})
        one = f'{{"input": [], "{name}": {part}}}\n'.encode()
        list(AlertFile(blocks(one)))
        with pytest.raises(BudgetError, match=f"^{name}: more than .* values of settings in one file; leave out"):
            list(AlertFile(blocks(one * 4)))

    def test_settings_that_are_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parts, "LARGEST_SETTINGS_BYTES", 100)
        with pytest.raises(BudgetError, match=r"^node_feature: more than 100 bytes"):
            list(AlertFile(blocks(b'{"node_feature": {"h": "' + b"x" * 200 + b'"}, "input": []}')))


class TestGzip:
    def test_a_file_that_inflates_to_much_more_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        packed = gzip.compress(b"[" + b" " * 3_000_000 + b"]")
        assert items(packed) == []
        monkeypatch.setattr(inflate, "RATIO_FREE_BYTES", 2_000_000)
        with pytest.raises(BudgetError, match=r"^gzip: \d+ bytes become more than .*; send it unpacked, or in parts$"):
            list(AlertFile(blocks(packed)))

    def test_many_small_members_are_read_in_linear_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each member copies what is left of the bytes that it was given."""
        fed: list[int] = []
        make: Any = zlib.decompressobj

        class Counted:
            def __init__(self, wbits: int) -> None:
                self._inner = make(wbits)

            def decompress(self, data: bytes, most: int) -> bytes:
                fed.append(len(data))
                return bytes(self._inner.decompress(data, most))

            def __getattr__(self, name: str) -> object:
                return getattr(self._inner, name)

        monkeypatch.setattr(zlib, "decompressobj", Counted)
        packed = gzip.compress(b"") * 15_000
        assert list(inflate.inflated(iter([packed]))) == []
        assert sum(fed) < len(packed) * inflate._FED_BYTES / 20

    def test_the_file_steps_say_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inflate, "RATIO_FREE_BYTES", 1_000_000)
        bucket = MemoryObjects({"input/day.json.gz": gzip.compress(b"[" + b" " * 3_000_000 + b"]")})
        done = run_file(small_context(bucket), "input/day.json.gz")
        assert (done.alerts, done.error.startswith("gzip: ")) == (0, True)
        assert done.error.endswith("; nothing of the file was taken")
        assert "input/day.json.gz" in bucket.objects


class TestValuesWithoutAnEnd:
    """Nothing is held of a value, or of blanks, that go on and on."""

    @pytest.mark.parametrize(
        ("begin", "more"),
        [(b"", b"x"), (b'{"a": ', b"1"), (b'{"a": "', b"x"), (b'{"input": ["', b"x"), (b"[]", b" ")],
    )
    def test_how_much_is_held(self, begin: bytes, more: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(parts, "LARGEST_HELD_BYTES", 64 * KIB)
        monkeypatch.setattr(alert_file, "LARGEST_ALERT_BYTES", 64 * KIB)
        monkeypatch.setattr(parts, "LARGEST_ALERT_BYTES", 64 * KIB)
        monkeypatch.setattr(alert_file, "LARGEST_RECORD_BYTES", 64 * KIB)
        tracemalloc.start()
        with contextlib.suppress(BrokenJsonError):
            list(AlertFile(chain([begin], (more * 32 * 1024 for _ in range(32))), holds=True))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 512 * KIB  # of 1,024


def test_a_fault_does_not_keep_its_record() -> None:
    """A traceback has the frames of all that was read, and faults are kept by the thousand."""
    [[item]] = AlertFile(iter([b'{"id": 1, "time": }\n']))
    assert isinstance(item, InputItem)
    assert item.fault is not None
    assert (item.fault.__traceback__, item.fault.__context__) == (None, None)


def test_a_row_of_a_table_harms_no_other() -> None:
    rows = [
        b"time,name,ip,host,short,time_label,event_label",
        b"1,a,b,c,d,e,-",
        b'2,"a,b,c,d,e,-',
        b"",
        b"3,a,b,c,d,e,-",
    ]
    large = b"4,%s,b,c,d,e,-" % (b'"' + b"x" * 200_000 + b'"')
    found = items(b"\n".join([*rows, large, b"5,a,b,c,d,e,-"]))
    assert [each.alert.id if each.alert else each.fault and each.fault.reason for each in found] == [
        *(0, "bad_field", 2),
        *("bad_field", 4),
    ]


class TestNodeFeatures:
    """What a record holds once and each of its alerts gets."""

    FEATURES = {f"feature {number}": "x" * 8_192 for number in range(64)}  # noqa: RUF012 - read only

    def record(self, alerts: int, features: dict[str, Any]) -> bytes:
        two = [alert(number, src="a", dst="b") for number in range(alerts)]
        return json.dumps({"input": two, "node_feature": {"a": features, "b": features}}).encode()

    def test_an_alert_gets_short_texts(self) -> None:
        [found] = reading.read_alerts_bytes(self.record(1, {key: text[:3_000] for key, text in self.FEATURES.items()}))
        assert found.alert is not None
        assert len(found.alert.other_attributes["node"]["src"]) == 64
        assert len(msgspec.json.encode(found.alert)) < 64 * KIB

    def test_all_alerts_of_a_record_have_a_budget(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reading, "LARGEST_ADDED_BYTES", 200 * KIB)
        found = reading.read_alerts_bytes(self.record(50, self.FEATURES))
        read = [each.alert for each in found if each.alert]
        assert 1 < len(read) < 10
        assert sum(len(msgspec.json.encode(each)) for each in read) < 250 * KIB
        faults = {(each.fault.reason, each.fault.message) for each in found if each.fault}
        assert len(faults) == 1
        [(reason, message)] = faults
        assert reason == "alert_too_large"
        assert message.startswith("node_feature: the record's alerts have more than 204800 bytes with it; send fewer")

    def test_the_features_of_the_seeds_files_are_far_within_it(self) -> None:
        found = reading.read_alerts_bytes(self.record(1_000, {f"feature {number}": 0.125 for number in range(48)}))
        assert not any(each.fault for each in found)


class TestFilesOfFaults:
    def test_a_packed_file_of_hardly_anything_else_ends_early(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alert_file, "MOST_FAULTY", 1_000)
        packed = gzip.compress(b'{"input":[' + ONE + b",[]" * 5_000 + b"]}")
        file, found = AlertFile(blocks(packed)), list[InputItem]()
        with pytest.raises(
            BudgetError, match=r"^1001 elements are no alerts, in a packed file of \d+ bytes: the last is"
        ):
            found += chain.from_iterable(file)
        assert sum(each.alert is not None for each in found) <= 1
        bucket = MemoryObjects()
        bucket.put("input/day.json.gz", packed)
        assert run_file(small_context(bucket), "input/day.json.gz").alerts == 0
        [error] = [json.loads(bucket.objects[name])["error"] for name in bucket.names("output/") if "error" in name]
        assert error.endswith("; send the alerts alone; nothing of the file was taken")

    def test_one_that_is_not_packed_is_read_to_its_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(alert_file, "MOST_FAULTY", 10)
        found = items(b"[1" + b",1" * 3_000 + b"," + ONE + b"]")
        assert [bool(each.alert) for each in found] == [False] * 3_001 + [True]

    def test_an_element_is_held_against_the_formats_once(self) -> None:
        asked = 0

        def matches(_: object) -> bool:
            nonlocal asked
            asked += 1
            return False

        use_own_formats((msgspec.structs.replace(FORMAT, matches=matches),))
        try:
            assert reasons(b'[{"a":1}]') == ["unknown_format"]
        finally:
            use_own_formats(())
        assert asked <= 2  # as an envelope, and as a record

    def test_their_reasons_have_a_budget_of_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cut, "SKIPPED_BYTES", 20_000)
        bucket = MemoryObjects()
        bucket.put("input/day.json", b"[" + ONE + b",{}" * 1_000 + b"]")
        assert run_file(small_context(bucket), "input/day.json").skipped == 1_000
        [skipped] = [bucket.objects[name] for name in bucket.names("") if "skipped" in name]
        assert json.loads(skipped)["count"] == 1_000
        assert len(skipped) < 25_000


class TestSmallBlocks:
    def test_a_value_is_looked_through_and_copied_a_few_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fills, fill = 0, Scanner._fill

        def counted(self: Scanner, *args: int) -> bool:
            nonlocal fills
            fills += 1
            return fill(self, *args)

        monkeypatch.setattr(Scanner, "_fill", counted)
        document = json.dumps([alert(1, other_attributes_dict={"a": ["b"] * 2_000})]).encode()
        [found] = chain.from_iterable(AlertFile(blocks(document, 1)))
        assert found.alert is not None
        assert fills < 50

    def test_a_line_is_copied_once(self) -> None:
        copied = 0

        class Block(bytes):
            def __radd__(self, before: bytes) -> bytes:
                nonlocal copied
                copied += len(before)
                return before + bytes(self)

        line = ONE.replace(b'"name"', b'"long":"' + b"x" * 5_000 + b'","name"')
        found = list(chain.from_iterable(AlertFile(Block(each) for each in blocks(b"\n".join((line, line)), 3))))
        assert [bool(each.alert) for each in found] == [True, True]
        assert copied < 3 * len(line)

    def test_small_members_are_handed_on_together(self) -> None:
        packed = b"".join(gzip.compress(b"x") for _ in range(500))
        assert list(inflate.inflated(iter([packed]))) == [b"x" * 500]


@pytest.mark.parametrize(
    "record",
    [
        {"input": []},
        {"alerts": []},
        {"results": [], "preview": False, "next": None},
        {"@odata.context": "…", "value": []},
    ],
)
def test_an_answer_without_alerts_has_none(record: dict[str, Any]) -> None:
    assert reading.read_alerts(record) == []
    assert items(json.dumps(record).encode()) == []


@pytest.mark.parametrize(
    "record", [{"alerts": [], "name": "x"}, {"events": [], "more": [1]}, {"other": [], "alerts": 1}]
)
def test_what_may_be_an_alert_is_not_taken_for_an_empty_answer(record: dict[str, Any]) -> None:
    assert reasons(json.dumps(record).encode()) == ["unknown_format"]
