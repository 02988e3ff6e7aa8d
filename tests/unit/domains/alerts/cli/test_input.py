"""Alerts out of files and pipes: every shape that they come in, and what one that cannot be read does."""

from __future__ import annotations

import gzip
import json
import os
import socket
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.alerts.alert import LARGEST_ALERT_BYTES
from app.domains.alerts.cli.input import AlertInput
from app.domains.alerts.formats import parts
from app.domains.alerts.formats.pieces import PieceReader
from app.domains.alerts.formats.scanner import Scanner
from app.errors import EventError, LocationError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domains.alerts.formats.pieces import InputItem

CEF = b"CEF:0|Vendor|Product|1.0|100|Port scan detected|5|src=10.0.0.1 dst=10.0.0.2 rt=1716468857000"
SNORT = b"05/23/24-12:54:18.0  [**] [1:2019:1] A policy was broken [**] [Priority: 1] {TCP} 10.0.0.5:1 -> 10.0.0.6:80"
AIT = b"time,name,ip,host,short,time_label,event_label\n"


def alert(number: int, **changed: Any) -> dict[str, Any]:
    return {"id": number, "time": 1_716_468_856 + number, "src": "a", "dst": "b", "name": f"alert {number}", **changed}


def line(number: int, **changed: Any) -> bytes:
    return json.dumps(alert(number, **changed)).encode()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., list[InputItem]]:
    def of(data: bytes, reading: PieceReader | None = None) -> list[InputItem]:
        path = tmp_path / "alerts"
        path.write_bytes(data)
        return list(chain.from_iterable(AlertInput(path, reading or PieceReader())))

    return of


def ids(items: list[InputItem]) -> list[int | str]:
    return [each.alert.id for each in items if each.alert is not None]


def faults(items: list[InputItem]) -> list[tuple[int, str]]:
    return [(each.number, each.fault.reason) for each in items if each.fault is not None]


ONE_TO_THREE = [alert(number) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    "data",
    [
        b"\n".join(map(line, (1, 2, 3))),
        b"\n".join(map(line, (1, 2, 3))) + b"\n\n",
        b"\xef\xbb\xbf" + b"\r\n".join(map(line, (1, 2, 3))),
        gzip.compress(b"\n".join(map(line, (1, 2, 3)))),
        gzip.compress(line(1) + b"\n") + gzip.compress(line(2) + b"\n" + line(3)),
        json.dumps(ONE_TO_THREE).encode(),
        json.dumps(ONE_TO_THREE, indent=2).encode(),
        json.dumps({"input": ONE_TO_THREE}).encode(),
        b"\xef\xbb\xbf" + json.dumps({"input": ONE_TO_THREE, "node_feature": {}}, indent=1).encode(),
        b"\n".join(json.dumps(each, indent=4).encode() for each in ONE_TO_THREE),
        json.dumps({"input": ONE_TO_THREE[:2]}).encode() + b"\n" + line(3),
        b'{"input": [\n' + b",\n".join(map(line, (1, 2, 3))) + b"\n]}",
    ],
    ids=[
        "lines",
        "blank-end",
        "crlf-and-mark",
        "gzip",
        "two-gzips",
        "list",
        "indented-list",
        "document",
        "indented-document",
        "indented-one-behind-the-other",
        "document-then-line",
        "document-of-lines",
    ],
)
def test_json_may_be_cut_into_lines_in_any_way(read: Callable[..., list[InputItem]], data: bytes) -> None:
    items = read(data)
    assert faults(items) == []
    assert ids(items) == [1, 2, 3]


@pytest.mark.parametrize("behind", [b"", b"\n", b"\n" + line(4)])
def test_values_may_follow_each_other_on_a_line(read: Callable[..., list[InputItem]], behind: bytes) -> None:
    """Firehose writes records so, one behind the other."""
    items = read(line(1) + line(2) + b" " + json.dumps([alert(3)]).encode() + behind)
    assert (ids(items)[:3], faults(items)) == ([1, 2, 3], [])
    long = b"".join(line(number, name="N" * 500) for number in range(1_000))
    assert ids(read(long + behind))[:1_000] == list(range(1_000))
    broken = read(line(0) + b"\n" + line(1) + line(2) + b"{" + behind)
    assert (ids(broken)[:3], faults(broken)) == ([0, 1, 2], [(2, "not_json")])


def test_a_bad_element_of_a_document_on_one_line_harms_no_other(read: Callable[..., list[InputItem]]) -> None:
    items = read(b'{"input": [' + line(1) + b', {"id": 2, "time": }, ' + line(3) + b"]}")
    assert ids(items) == [1, 3]
    assert [(each.index, each.raw) for each in items if each.fault] == [(1, b'{"id": 2, "time": }')]


def test_each_line_has_a_format_of_its_own(read: Callable[..., list[InputItem]]) -> None:
    items = read(b"\n".join([line(1), CEF, SNORT]))
    assert [each.alert.name for each in items if each.alert] == ["alert 1", "Port scan detected", "A policy was broken"]
    assert [each.raw for each in items] == [line(1), CEF, SNORT]


def test_a_bad_line_harms_no_other_and_is_told_by_its_number(read: Callable[..., list[InputItem]]) -> None:
    bad = {
        2: (b'{"broken": ', "not_json"),
        3: (line(3, src=None), "missing_src"),
        4: (b"\xff\xfe", "not_utf8"),
        5: (b"nobody knows this", "unknown_format"),
        6: (b"x" * (2 * LARGEST_ALERT_BYTES), "alert_too_large"),
    }
    lines = [bad[number][0] if number in bad else line(number) for number in range(1, 9)]
    items = read(b"\n".join(lines))
    assert ids(items) == [1, 7, 8]
    assert faults(items) == [(number, reason) for number, (_, reason) in bad.items()]


def test_a_first_line_that_was_cut_off_is_no_document(read: Callable[..., list[InputItem]]) -> None:
    for cut in (b'{"id": 1, "na', b'{"id": 1, "name": "x"'):
        items = read(cut + b"\n" + line(2))
        assert (ids(items), faults(items)) == ([2], [(1, "not_json")])
    items = read(b'{"id": 1, "na\n' + CEF)
    assert (len(ids(items)), faults(items)) == (1, [(1, "not_json")])


@pytest.mark.parametrize("pad", [0, 3, 50])
def test_a_document_may_be_one_line_however_long(read: Callable[..., list[InputItem]], pad: int) -> None:
    """It is cut somewhere to be recognized, also within quotes; a document of lines goes on with the next."""
    many = [alert(number, name="N" * 200) for number in range(LARGEST_ALERT_BYTES // 200)]
    padding = b'{"pad": "' + b"p" * pad + b'", "input": '
    for data in (json.dumps(many).encode(), padding + json.dumps(many).encode() + b"}\n" + line(-1)):
        items = read(data)
        assert faults(items) == []
        assert ids(items)[: len(many)] == [each["id"] for each in many]
    assert ids(items)[len(many) :] == [-1]


def test_a_first_alert_that_is_too_large_harms_no_other(read: Callable[..., list[InputItem]]) -> None:
    large = line(1, name="N" * (LARGEST_ALERT_BYTES + 1))
    for data in (large + b"\n" + line(2), b"[" + large + b"," + line(2) + b"]"):
        items = read(data)
        assert (ids(items), faults(items)) == ([2], [(1, "alert_too_large")])


def test_a_document_that_breaks_off_gives_what_stands_before(read: Callable[..., list[InputItem]]) -> None:
    whole = json.dumps(ONE_TO_THREE, indent=2).encode()
    items = read(whole[: whole.rindex(b"{")])
    assert ids(items) == [1, 2]
    assert faults(items) == [(3, "not_json")]


def test_elements_of_a_document_are_told_by_their_place(read: Callable[..., list[InputItem]]) -> None:
    items = read(json.dumps({"input": [alert(1), alert(2, name=None), alert(3)]}, indent=1).encode())
    assert ids(items) == [1, 3]
    assert faults(items) == [(2, "missing_name")]


@pytest.mark.parametrize("indent", [None, 1])
def test_what_a_document_knows_beside_its_alerts_is_kept(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "day.json"
    document = {
        "input": [alert(1)],
        "node_feature": {"a": {"user": "erin"}},
        "cluster_config": {"delta_s": 5},
        "config": {"window_s": 60},
    }
    path.write_text(json.dumps(document, indent=indent))
    source = AlertInput(path, PieceReader())
    [[items]] = source
    assert items.alert is not None
    assert items.alert.other_attributes["user"] == "erin"
    assert (source.cluster_config, source.config) == ({"delta_s": 5}, {"window_s": 60})


def test_a_document_too_large_to_be_read_whole_says_what_to_do(
    read: Callable[..., list[InputItem]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "LARGEST_HELD_BYTES", 100)
    items = read(json.dumps({"input": ONE_TO_THREE}, indent=1).encode())
    assert faults(items) == [(1, "document_too_large")]
    assert ids(read(json.dumps(ONE_TO_THREE, indent=1).encode())) == [1, 2, 3]  # a list is read element by element


def test_tables_of_ait_ads_are_alerts_too(read: Callable[..., list[InputItem]]) -> None:
    rows = AIT + b"1643932807,Wazuh: IDS event.,10.0.0.1,mail,W-All,false_positive,-\nnoon,x,y,z,w,v,-\n"
    rows += b'1643932808,"Suricata: a, b",10.0.0.2,web,S,x,dirb'
    items = read(gzip.compress(rows))
    first, bad, last = items
    assert [each.number for each in items] == [1, 2, 3]
    assert first.alert is not None
    assert (first.alert.src, first.alert.dst, first.alert.label) == ("10.0.0.1", "mail", None)
    assert last.alert is not None
    assert (last.alert.name, last.alert.label) == ("Suricata: a, b", "dirb")
    assert bad.fault is not None
    assert bad.fault.reason == "bad_field"


class TestTexts:
    """Where texts are taken, a line that is of no format is one; JSON that is broken is not."""

    def test_a_bare_line(self, read: Callable[..., list[InputItem]]) -> None:
        items = read(b"Mimikatz was run\n" + line(2), PieceReader(texts=True))
        assert [(each.is_text, each.alert and each.alert.name) for each in items] == [
            (True, "Mimikatz was run"),
            (False, "alert 2"),
        ]

    @pytest.mark.parametrize("key", ["text", "input", "name"])
    def test_an_object_with_a_text_alone(self, read: Callable[..., list[InputItem]], key: str) -> None:
        [items] = read(json.dumps({"request_id": "1", key: "Mimikatz"}).encode(), PieceReader(texts=True))
        assert items.is_text
        assert items.alert is not None
        assert items.alert.name == "Mimikatz"
        assert items.text_id == "1"

    @pytest.mark.parametrize("text_id", [7, "a-1", 1.5, 0, "", None])
    def test_a_text_with_an_id_of_its_own(self, read: Callable[..., list[InputItem]], text_id: object) -> None:
        given = json.dumps({"id": text_id, "title": "Mimikatz", "description": "It was run"}).encode()
        [item] = read(given, PieceReader(texts=True))
        assert item.text_id == text_id
        assert item.alert is not None
        assert (item.alert.name, item.alert.other_attributes) == ("Mimikatz", {"description": "It was run"})

    def test_what_is_meant_as_an_alert_stays_one(self, read: Callable[..., list[InputItem]]) -> None:
        items = read(line(1, src=None) + b'\n{"broken": \n' + b"CEF:0|half a head", PieceReader(texts=True))
        assert [reason for _, reason in faults(items)] == ["missing_src", "not_json", "bad_field"]

    def test_everything_on_demand(self, read: Callable[..., list[InputItem]]) -> None:
        items = read(line(1) + b"\n[1, 2", PieceReader(format_="text", texts=True))
        assert [each.alert and each.alert.name for each in items] == [line(1).decode(), "[1, 2"]


class TestOneFormat:
    """With a format named nothing else is read."""

    def test_of_lines(self, read: Callable[..., list[InputItem]]) -> None:
        items = read(b"\n".join([CEF, SNORT, line(3)]), PieceReader(format_="cef_line"))
        assert len(ids(items)) == 1
        assert [number for number, _ in faults(items)] == [2, 3]

    def test_of_objects(self, read: Callable[..., list[InputItem]]) -> None:
        items = read(line(1) + b"\n" + CEF, PieceReader(format_="seed"))
        assert (ids(items), [number for number, _ in faults(items)]) == ([1], [2])
        assert faults(read(b"a text", PieceReader(format_="seed", texts=True))) == [(1, "unknown_format")]
        assert ids(read(json.dumps({"input": ONE_TO_THREE}).encode(), PieceReader(format_="seed"))) == [1, 2, 3]

    def test_that_there_is_not(self) -> None:
        with pytest.raises(SettingsError, match="nope: there is none such; give one of seed"):
            PieceReader(format_="nope")


def test_a_tenant_for_those_that_name_none(read: Callable[..., list[InputItem]]) -> None:
    items = read(line(1) + b"\n" + line(2, tenant="own"), PieceReader("given"))
    assert [each.alert and each.alert.tenant for each in items] == ["given", "own"]


def test_what_cannot_be_opened_or_read_on(tmp_path: Path, read: Callable[..., list[InputItem]]) -> None:
    with pytest.raises(LocationError, match="No such file"):
        AlertInput(tmp_path / "nowhere", PieceReader())
    with pytest.raises(LocationError, match="Is a directory"):
        AlertInput(tmp_path, PieceReader())
    with pytest.raises(LocationError, match="what came before was read"):
        read(gzip.compress(line(1) * 1000)[:-9])


def test_standard_input_that_is_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(LocationError, match="it is closed; name a file"):
        AlertInput(None, PieceReader())


@pytest.mark.parametrize("kind", ["device", "pipe", "socket"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "device":
            path = Path("/dev/zero")
        elif kind == "pipe":
            os.mkfifo(path)  # nobody writes to it
        else:
            server.bind(str(path))
        with pytest.raises(LocationError, match=f"{path}: cannot be read: .*; name a file, or - for standard input"):
            AlertInput(path, PieceReader())


def test_a_pipe_is_told_of_before_more_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    reading_end, writing_end = os.pipe()
    with os.fdopen(reading_end, "rb") as pipe, os.fdopen(writing_end, "wb", buffering=0) as writer:
        monkeypatch.setattr("sys.stdin", type("Stdin", (), {"buffer": pipe}))
        batches = iter(AlertInput(None, PieceReader()))
        for number in (1, 2):
            writer.write(line(number) + b"\n")
            assert ids(next(batches)) == [number]


@given(
    st.lists(st.sampled_from([line(1), CEF, b"?", b"", b"{", b"[", line(2, src=None)]), max_size=12),
    st.integers(1, 200),
)
def test_how_a_file_is_cut_into_blocks_changes_nothing(lines: list[bytes], size: int) -> None:
    data = b"\n".join([line(9), *lines])

    def split(size: int) -> list[bytes | None]:
        blocks = (data[start : start + size] for start in range(0, len(data), size))
        return [each for block in Scanner(blocks).lines(LARGEST_ALERT_BYTES) for each in block]

    assert split(size) == split(len(data)) == data.removesuffix(b"\n").split(b"\n")


@pytest.mark.parametrize(
    ("data", "hint"),
    [(b"BZh91AY", "it looks like bzip2"), (b"PK\x03\x04\x14\0", "it looks like a zip archive")],
)
def test_a_file_without_one_readable_line_is_refused_in_one(data: bytes, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "alerts"
    path.write_bytes(data)
    with pytest.raises(EventError, match=f"alerts: {hint}"):
        list(AlertInput(path))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_windows_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "alerts"
    path.write_bytes("\r\n".join(line(number).decode() for number in range(3)).encode(encoding))
    assert [item.alert and item.alert.id for items in AlertInput(path) for item in items] == [0, 1, 2]
