"""Alerts out of files, however the blocks fall and whatever stands beside them."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import re
import tracemalloc
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from app.domains.alerts.alert import LARGEST_ALERT_BYTES, Alert
from app.domains.alerts.files.cut import READ_TOGETHER
from app.domains.alerts.files.driver import run_file
from app.domains.alerts.formats.file import AlertFile
from app.domains.alerts.formats.inflate import BrokenGzipError, PackedFileError, inflated
from app.domains.alerts.formats.parts import BrokenPartError
from app.storage.objects import MemoryObjects
from tests.unit.domains.alerts.files.files_for_tests import alert, small_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.domains.alerts.formats.pieces import InputItem


def blocks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def read(data: str | bytes, size: int = 7) -> tuple[list[Alert], list[InputItem], AlertFile]:
    file = AlertFile(blocks(data.encode() if isinstance(data, str) else data, size), batch=10)
    found = list(chain.from_iterable(file))
    return [each.alert for each in found if each.alert], [each for each in found if each.fault], file


def reasons(skipped: list[InputItem]) -> list[tuple[int, str, bytes | None]]:
    return [(each.index, each.fault.reason, each.raw) for each in skipped if each.fault]


def refusal(text: str) -> str:
    """Why nothing of a file is taken, as its user is told."""
    bucket = MemoryObjects()
    bucket.put("input/day.json", text.encode())
    assert run_file(small_context(bucket), "input/day.json").alerts == 0
    [error] = [json.loads(bucket.objects[name])["error"] for name in bucket.names("output/")]
    assert isinstance(error, str)
    return error


def ids(alerts: list[Alert]) -> list[Any]:
    return [each.id for each in alerts]


class TestTheSeedsDocument:
    def test_alerts_and_what_stands_beside_them(self) -> None:
        document = {
            "node_feature": {"h1": {"os": "Linux"}, "h2": "not an object"},
            "config": {"a": 1},
            "input": [alert(1), alert(2, other_attributes_dict={"text": 'a "quoted\\" ]} part'})],
            "cluster_config": {"b": [2]},
            "else": [[{}]],
        }
        for size in (1, 2, 3, 50, 10_000):
            found, skipped, file = read(json.dumps(document), size)
            assert ids(found) == ["a1", "a2"]
            assert skipped == []
            assert (file.node_feature, file.config) == ({"h1": {"os": "Linux"}}, {"a": 1})
            assert file.cluster_config == {"b": [2]}
            assert found[1].other_attributes["text"] == 'a "quoted\\" ]} part'

    def test_the_example_of_its_documentation(self) -> None:
        found, _, file = read(
            '{"input":[{"id":25485,"src":"Internal_User_1","dst":"ServerA","time":1.2741200091934108,"tech":["T1490"],'
            '"name":" ET DNS Query for .cc TLD ","other_attributes_dict":{"priority":1}}],'
            '"node_feature":{"ServerA":{"userid":"machine_1","Internal/External":"Internal"}}}'
        )
        assert (found[0].id, found[0].tech, found[0].other_attributes["priority"]) == (25485, ["T1490"], 1)
        assert file.node_feature["ServerA"]["userid"] == "machine_1"

    @pytest.mark.parametrize("part", ["node_feature", "cluster_config", "config"])
    def test_a_part_of_the_wrong_type_is_named(self, part: str) -> None:
        with pytest.raises(BrokenPartError, match=f"^{part}: expected an object"):
            read(json.dumps({"input": [alert(1)], part: [1]}))

    def test_null_stands_for_nothing(self) -> None:
        assert read(json.dumps({"input": [alert(1)], "config": None}))[2].config == {}

    def test_a_bad_alert_harms_no_neighbour(self) -> None:
        bad = ['{"id": 2, "time": }', "{}", "null", "17", '"text"', "[]", '{"id" 3}', '"\xff"', "nonsense"]
        parts = [json.dumps(alert(1)), *bad, json.dumps(alert(9))]
        found, skipped, _ = read(b'{"input": [' + ", ".join(parts).encode("latin-1") + b"]}")
        assert ids(found) == ["a1", "a9"]
        assert [each.index for each in skipped] == list(range(1, len(bad) + 1))
        assert [each.raw for each in skipped] == [each.encode("latin-1") for each in bad]

    def test_a_large_alert_is_told_and_passed_over_without_being_kept(self) -> None:
        document = json.dumps({"input": [alert(1), alert(2, name='"\\' * 5_000_000), alert(3)]}).encode()
        assert len(document) > 10 * LARGEST_ALERT_BYTES
        read(b"{}")
        tracemalloc.start()
        found, skipped, _ = read(document, 64 * 1024)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert ids(found) == ["a1", "a3"]
        assert reasons(skipped) == [(1, "alert_too_large", None)]
        assert peak < 8 * LARGEST_ALERT_BYTES

    @pytest.mark.parametrize(
        "text",
        ['{"input": [', '{"input": [1 2]}', '{"input": []', '{"input": [{"a": "}]}', '{"input" []}', "{1: 2}", '{"a"}'],
    )
    def test_a_file_that_is_no_json_is_refused_as_a_whole(self, text: str) -> None:
        assert re.search(r"not JSON: .* at byte \d+|not_json: ", refusal(text))

    @pytest.mark.parametrize("text", ["", " \n\t", "\ufeff"])
    def test_an_empty_file_says_what_to_put(self, text: str) -> None:
        assert refusal(text).startswith('no alerts in it: put {"input"')

    def test_text_behind_the_end_is_refused(self) -> None:
        assert "not_json: " in refusal("[] x")


class TestOtherForms:
    def test_a_bare_list(self) -> None:
        assert ids(read(json.dumps([alert(1), alert(2)]))[0]) == ["a1", "a2"]

    def test_a_byte_order_mark(self) -> None:
        assert ids(read("\ufeff" + json.dumps([alert(1)]))[0]) == ["a1"]

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_json_lines(self, end: str) -> None:
        lines = [json.dumps(alert(1)), json.dumps(alert(2)), '{"id": 3, oops', json.dumps(alert(4)), ""]
        found, skipped, _ = read(end.join(lines))
        assert ids(found) == ["a1", "a2", "a4"]
        assert reasons(skipped) == [(2, "not_json", b'{"id": 3, oops')]

    def test_a_line_an_alert(self) -> None:
        line = "CEF:0|V|P|1|100|port scan|5|src=10.0.0.1 dst=10.0.0.2 rt=1700000000000"
        found, skipped, _ = read(f"{line}\nno alert\n{line.replace('scan', 'sweep')}")
        assert [each.name for each in found] == ["port scan", "port sweep"]
        assert [each.index for each in skipped] == [1]
        assert [each.name for each in read(json.dumps({"input": [line]}))[0]] == ["port scan"]

    def test_a_search_answer_is_read_whole(self) -> None:
        hits = [
            {
                "_id": str(n),
                "_source": {
                    "@timestamp": "2024-05-23T12:00:00Z",
                    "event": {"id": f"e{n}", "kind": "alert"},
                    "message": "m",
                    "host": {"name": "h"},
                },
            }
            for n in range(2)
        ]
        found, skipped, _ = read(json.dumps({"took": 1, "hits": {"hits": hits}}))
        assert (len(found), skipped) == (2, [])


def test_a_long_file_needs_little_memory() -> None:
    one = json.dumps(alert(1, other_attributes_dict={"url": "http://example.com/" + "x" * 300})).encode()
    count = 8_000

    def document() -> Iterator[bytes]:
        yield b'{"input": ['
        for number in range(count):
            yield one if number == count - 1 else one + b","
        yield b"]}"

    list(AlertFile(iter([b'{"input": [' + one + b"]}"])))
    tracemalloc.start()
    found = sum(each.alert is not None for items in AlertFile(document(), batch=READ_TOGETHER) for each in items)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == count
    assert peak < 512 * 1024  # of 3.5 MB


@pytest.mark.parametrize(
    ("packed", "says"),
    [
        (bz2.compress(b"x"), "bzip2: unpack it first (bunzip2)"),
        (lzma.compress(b"x"), "xz: unpack it first (unxz)"),
        (b"\x28\xb5\x2f\xfd\x24\x01", "Zstandard: unpack it first (unzstd)"),
        (b"PK\x03\x04\x14\x00", "zip archive: unpack it first (unzip)"),
        (b"7z\xbc\xaf\x27\x1c", "7z archive: unpack it first (7z x)"),
    ],
)
def test_a_file_that_is_packed_otherwise_is_named(packed: bytes, says: str) -> None:
    for blocks in ([packed], [packed[:3], packed[3:]]):
        with pytest.raises(PackedFileError, match=re.escape(says)):
            list(inflated(iter(blocks)))


class TestGzip:
    DATA = json.dumps({"input": [alert(number) for number in range(50)]}).encode()

    @pytest.mark.parametrize("size", [1, 2, 7, 10_000])
    def test_a_packed_file_is_read_as_any_other(self, size: int) -> None:
        half = len(self.DATA) // 2
        members = gzip.compress(self.DATA[:half]) + gzip.compress(self.DATA[half:])
        for packed in (gzip.compress(self.DATA), members, members + bytes(100)):
            assert len(read(packed, size)[0]) == 50

    def test_much_in_little_is_not_held(self) -> None:
        packed = gzip.compress(b'{"input": [' + b" " * 50_000_000 + json.dumps(alert(1)).encode() + b"]}")
        tracemalloc.start()
        found, _, _ = read(packed, 1_000_000)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert ids(found) == ["a1"]
        assert peak < 20_000_000

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (gzip.compress(DATA)[:-20], "breaks off"),
            (gzip.compress(DATA) + b"behind it", "damaged"),
            (b"\x1f\x8b begins like gzip", "damaged"),
        ],
    )
    def test_a_broken_one_is_one_line(self, data: bytes, why: str) -> None:
        with pytest.raises(BrokenGzipError, match=f"^gzip: .*{why}$"):
            read(data)


def test_what_is_wrong_beside_the_alerts_is_told() -> None:
    with pytest.raises(BrokenPartError, match=r"^node_feature: expected an object, .*out of range"):
        read('{"input": [], "node_feature": {"h1": {"x": 1e999}}}')
