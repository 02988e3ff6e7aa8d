"""What holds for every format: required fields, times, ids, sizes, envelopes, attributes, files."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from app.domains.alerts.alert import LARGEST_ALERT_BYTES, LONGEST_ENTITY, LONGEST_ID, LONGEST_NAME, AlertFault
from app.domains.alerts.formats import FORMATS, format_of, read_alert, read_alert_bytes, read_document
from app.domains.alerts.formats.attributes import MAX_BYTES
from tests.unit.domains.alerts.formats.examples import CEF_LINE, OWN, SEED, SNORT, SURICATA, TIME

if TYPE_CHECKING:
    from collections.abc import Iterator

AUGUST = 1_313_148_896.5


def reason_of(record: Any) -> str:
    with pytest.raises(AlertFault) as caught:
        read_alert(record)
    assert caught.value.message
    return caught.value.reason


def reason_of_bytes(data: bytes) -> str:
    with pytest.raises(AlertFault) as caught:
        read_alert_bytes(data)
    return caught.value.reason


@pytest.mark.parametrize("field", ["id", "time", "src", "dst", "name"])
@pytest.mark.parametrize("value", [..., None, "", "  "])
def test_an_alert_that_misses_a_field_is_told_which(field: str, value: object) -> None:
    record = {key: each for key, each in {**SEED, field: value}.items() if each is not ...}
    assert reason_of(record) == f"missing_{field}"


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("id", True, "bad_id"),
        ("id", math.nan, "bad_id"),
        ("id", ["a"], "bad_id"),
        ("id", "a" * (LONGEST_ID + 1), "bad_id"),
        ("id", 10**70, "bad_id"),
        pytest.param("id", 10**5000, "bad_id", id="id-enormous"),
        ("src", 5, "bad_field"),
        ("dst", ["a"], "bad_field"),
        ("name", {"text": "a"}, "bad_field"),
        ("other_attributes_dict", [1], "bad_field"),
        ("time", math.nan, "bad_time"),
        ("time", math.inf, "bad_time"),
        ("time", -1, "bad_time"),
        ("time", True, "bad_time"),
        ("time", [TIME], "bad_time"),
        ("time", 8_000_000_000, "bad_time"),
        ("time", 10**30, "bad_time"),
        pytest.param("time", 10**5000, "bad_time", id="time-enormous"),
        ("time", "2201-01-01T00:00:00Z", "bad_time"),
        ("time", "1969-12-31T23:59:59Z", "bad_time"),
        ("time", "2024-02-30T00:00:00Z", "bad_time"),
        ("time", "Foo 23 2024 12:54:16", "bad_time"),
        ("time", "1e9", "bad_time"),
        ("time", "\u0661\u0662\u0663", "bad_time"),
        ("time", "soon " * 100, "bad_time"),
    ],
)
def test_a_field_that_cannot_be_what_it_is_is_refused(field: str, value: object, reason: str) -> None:
    assert reason_of({**SEED, field: value}) == reason


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (0, 0.0),
        (TIME, TIME),
        (int(TIME), TIME - 0.5),
        (1_716_468_856_500, TIME),
        (1_716_468_856_500_000, TIME),
        (1_716_468_856_500_000_000, TIME),
        (1_716_468_856_500.0, TIME),
        ("1716468856.5", TIME),
        (" 1716468856500 ", TIME),
        ("2024-05-23T12:54:16.5Z", TIME),
        ("2024-05-23T12:54:16.5", TIME),
        ("2024-05-23 12:54:16.500", TIME),
        ("2024-05-23T12:54:16,500Z", TIME),
        ("2024-05-23T13:54:16.500+0100", TIME),
        ("2024-05-23T07:54:16.500-05:00", TIME),
        ("2024-05-23T12:54:16.500000000Z", TIME),
        ("May 23 2024 12:54:16.5", TIME),
        ("Thu, May 23 2024 14:54:16.5 +0200", TIME),
        ("May 23 2024 12:54:16.5 UTC", TIME),
    ],
)
def test_times_are_read_in_any_unit_and_as_iso_8601(written: object, seconds: float) -> None:
    assert read_alert({**SEED, "time": written}).time == pytest.approx(seconds, abs=1e-6)


@pytest.fixture
def _far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as here:
        here.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_far_from_utc")
@pytest.mark.parametrize("written", ["2024-05-23T12:54:16.5", "May 23 2024 12:54:16.5", "May 23 12:54:16.5"])
def test_a_time_without_a_zone_is_utc_wherever_this_runs(written: str) -> None:
    assert read_alert({**SEED, "time": written}, received=TIME).time == TIME


@pytest.mark.parametrize(
    ("received", "seconds"),
    [(AUGUST, 1_306_155_256.0), (1_325_400_000.0, 1_306_155_256.0), (1_306_108_800.0, 1_306_155_256.0)],
)
def test_a_time_without_a_year_is_the_latest_before_it_was_received(received: float, seconds: float) -> None:
    assert read_alert({**SEED, "time": "May 23 12:54:16"}, received=received).time == seconds


def test_a_time_without_a_year_is_never_in_the_future() -> None:
    new_year = 1_704_070_800.0  # 2024-01-01T01:00:00Z
    assert read_alert({**SEED, "time": "Dec 31 23:00:00"}, received=new_year).time == new_year - 7200
    assert read_alert({**SEED, "time": "May 23 12:54:16"}).time > TIME - 400 * 86400


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (0, 0),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        ("a/b=+=", "a/b=+="),
        (17.0, 17),
        (1716468856.25, "1716468856.25"),
    ],
)
def test_an_id_stays_what_it_is(given: float | str, kept: int | str) -> None:
    assert read_alert({**SEED, "id": given}).id == kept


def test_a_long_entity_keeps_its_beginning_and_never_becomes_another() -> None:
    one, two = (read_alert({**SEED, "src": f"{'h' * 400}{end}"}).src for end in "ab")
    assert one != two
    assert len(one) == len(two) == LONGEST_ENTITY
    assert one.startswith("h" * 200)
    assert read_alert({**SEED, "src": one}).src == one


def test_a_long_name_is_cut() -> None:
    assert read_alert({**SEED, "name": "n" * 10_000}).name == "n" * LONGEST_NAME
    long = {**SURICATA, "alert": {**SURICATA["alert"], "signature": "n" * 10_000}}
    assert read_alert(long).name == "n" * LONGEST_NAME


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ([], []),
        (None, []),
        (["T1059.001 - PowerShell", "attack.t1110", 5, None, {"x": "T1"}, "T1110", "T1110", " "],
         ["T1059.001 - PowerShell", "attack.t1110", "T1110"]),
        ("T1059, T1110", ["T1059", "T1110"]),
        (["T1059, T1003"], ["T1059", "T1003"]),
        ("T1110;T1078.004 | T1003", ["T1110", "T1078.004", "T1003"]),
        ("T1110 T1078\tT1003", ["T1110", "T1078", "T1003"]),
        ('["T1110", "T1078"]', ["T1110", "T1078"]),
        ("T1110, no technique; T9999", ["T1110", "no technique", "T9999"]),
        ({"id": "T1059"}, ["T1059"]),
        ([{"technique": {"id": "T1059", "subtechnique": [{"id": "T1059.001"}], "name": "Shell"}}, {"uid": "T1110"}],
         ["T1059", "T1059.001", "T1110"]),
        ([[["T1059"]], ["T1110"]], ["T1059", "T1110"]),
    ],
)  # fmt: skip
def test_techniques_are_kept_as_they_came_each_once(given: object, kept: list[str]) -> None:
    assert read_alert({**SEED, "tech": given}).tech == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"port": "443"}, {"port": 443}),
        ({"port": 443.0}, {"port": 443}),
        ({"port": 65536}, {}),
        ({"port": -1}, {}),
        ({"port": True}, {}),
        ({"port": "http"}, {}),
        ({"priority": "7.5"}, {"priority": 7.5}),
        ({"priority": "7"}, {"priority": 7}),
        ({"priority": math.nan}, {}),
        ({"priority": "high"}, {}),
        ({"url": ["https://example.com", "x"]}, {"url": "https://example.com"}),
        ({"user": ["ann", "", None, "ann", 1000]}, {"user": ["ann", "1000"]}),
        ({"user": "-"}, {}),
        ({"a": None, "b": "", "c": [], "d": {}, "e": math.inf, "f": 0, "g": False}, {"f": 0, "g": False}),
        ({"a": {"b": {"c": 1}}, "a.d": [1, None, "x", [2]]}, {"a.b.c": 1, "a.d": [1, "x"]}),
        ({"a": [{"b": 1}, {"b": 2}, 3]}, {"a.b": 1, "a": [3]}),
        ({"a": 2**70}, {"a": str(2**70)}),
        ({"a": 10**5000}, {}),
        ({"node": "n1"}, {"node": "n1"}),
        ({"node": {"id": "n1"}}, {"node.id": "n1"}),
    ],
)
def test_attributes_are_flat_and_of_the_types_that_they_promise(given: dict[str, Any], kept: dict[str, Any]) -> None:
    assert read_alert({**SEED, "other_attributes_dict": given}).other_attributes == kept


def test_attributes_by_elastics_names_fill_the_reserved_keys_that_are_missing() -> None:
    given = {"user.name": "ann", "user.id": 7, "file.hash.md5": "ab", "dll.hash.md5": "cd", "event.severity": 99}
    found = read_alert({**SEED, "other_attributes_dict": {**given, "priority": 1}}).other_attributes
    assert found["hash"] == ["ab", "cd"]
    assert found["priority"] == 1
    assert found["user"] == "ann"
    given_already = {"user": "bob", "user.name": "ann"}
    assert read_alert({**SEED, "other_attributes_dict": given_already}).other_attributes == given_already


def test_attributes_are_bounded_and_the_reserved_ones_come_first() -> None:
    many: dict[str, Any] = {f"key{index}": "v" * 10_000 for index in range(20)}
    many |= {f"small{index}": index for index in range(1000)} | {"k" * 300: 1, "port": 22, "list": list(range(1000))}
    found = read_alert({**SEED, "other_attributes_dict": many}).other_attributes
    assert len(found) == 256
    assert found["port"] == 22
    assert len(found["key0"]) == 8192
    listed = read_alert({**SEED, "other_attributes_dict": {"list": list(range(1000)), "k" * 300: 1}}).other_attributes
    assert listed == {"list": list(range(64))}


@pytest.mark.parametrize("where", ["other_attributes_dict", "node_feature"])
def test_an_alert_that_was_read_is_never_too_large_to_be_read_again(where: str) -> None:
    bells = {f"key{index}": "\a" * 4000 for index in range(40)}  # each takes six bytes of JSON
    said = {**bells, "description": "\a" * 4000, "port": 22} if where == "other_attributes_dict" else {}
    nodes = {SEED["src"]: bells, SEED["dst"]: bells} if where == "node_feature" else {}
    document = read_document({"input": [{**SEED, "other_attributes_dict": said}], "node_feature": nodes})
    alert = document.alerts[0]
    assert len(msgspec.json.encode(alert.other_attributes)) <= MAX_BYTES < LARGEST_ALERT_BYTES
    assert read_alert_bytes(msgspec.json.encode(alert)) == alert
    assert ("description" in alert.other_attributes) is (where == "other_attributes_dict")


def test_deep_attributes_and_long_keys_take_no_time_to_refuse() -> None:
    deep: dict[str, Any] = {"x": 1}
    for _ in range(500):
        deep = {"k": deep}
    long_key = {"k" * 300_000: {f"i{index}": index for index in range(20_000)}}
    assert read_alert({**SEED, "other_attributes_dict": {**deep, **long_key}}).other_attributes == {}


def test_half_characters_are_replaced_so_that_the_alert_can_be_written() -> None:
    record = {
        **SEED,
        "id": "a\ud800",
        "name": "\udfffx",
        "src": "h\ud800",
        "other_attributes_dict": {"k\ud800": "\ud800"},
    }
    alert = read_alert(record)
    assert (alert.id, alert.name, alert.src) == ("a\ufffd", "\ufffdx", "h\ufffd")
    assert alert.other_attributes == {"k\ufffd": "\ufffd"}
    assert read_alert_bytes(json.dumps(record).encode()) == alert
    assert read_alert_bytes(msgspec.json.encode(alert)) == alert


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not_json"),
        (b" \n ", "not_json"),
        (b"{", "not_json"),
        (b'{"id": 1,}', "not_json"),
        (b'{"id": NaN}', "not_json"),
        (b'{"id": 1e400}', "not_json"),
        (b'{"a": "\\ud800", "id": NaN}', "not_json"),
        (b'{"a": "\\ud800"', "not_json"),
        (b'{"id": "\xff"}', "not_utf8"),
        (b"[" * 65 + b"]" * 65, "not_json"),
        (b'{"a":' * 100_000, "not_json"),
        (b'{"a":"\\ud800","b":' + b"[" * 100_000, "not_json"),
        (b"[]", "not_one_alert"),
        (b"[1]", "bad_field"),
        (b"[[1]]", "bad_field"),
        (b"[null]", "bad_field"),
        (b'[""]', "not_json"),
        (b"{}", "unknown_format"),
        (b"hello", "unknown_format"),
        (b"12", "unknown_format"),
        (b'"CEF"', "unknown_format"),
        (f"{CEF_LINE}\n{CEF_LINE}".encode(), "not_one_alert"),
    ],
)
def test_bytes_that_are_no_alert_have_a_reason(data: bytes, reason: str) -> None:
    assert reason_of_bytes(data) == reason


def test_nesting_up_to_the_bound_is_read() -> None:
    inner = "[" * 63 + "]" * 63
    assert read_alert_bytes(json.dumps(SEED)[:-1].encode() + f', "x": {inner}}}'.encode()).id == SEED["id"]
    assert reason_of_bytes(json.dumps(SEED)[:-1].encode() + f', "x": [{inner}]}}'.encode()) == "not_json"


def test_an_alert_of_ten_megabytes_is_refused_in_every_form() -> None:
    huge = {**SEED, "other_attributes_dict": {"raw": "x" * (10 * LARGEST_ALERT_BYTES)}}
    assert reason_of(huge) == "alert_too_large"
    assert reason_of(json.dumps(huge)) == "alert_too_large"
    assert reason_of_bytes(json.dumps(huge).encode()) == "alert_too_large"
    assert reason_of({**SEED, "x": ["\ud800" * LARGEST_ALERT_BYTES]}) == "alert_too_large"
    document = read_document({"input": [SEED, huge, OWN]})
    assert [index for index, _ in document.faults] == [1]
    assert [alert.id for alert in document.alerts] == [SEED["id"], OWN["id"]]


def test_an_alert_just_within_the_bound_is_read() -> None:
    room = LARGEST_ALERT_BYTES - len(json.dumps({**SEED, "raw": ""}).encode())
    data = json.dumps({**SEED, "raw": "x" * room}).encode()
    assert len(data) == LARGEST_ALERT_BYTES
    assert read_alert_bytes(data).id == SEED["id"]
    assert reason_of_bytes(data + b" ") == "alert_too_large"


def test_an_unknown_record_is_told_the_formats_that_are_known() -> None:
    with pytest.raises(AlertFault) as caught:
        format_of({"hello": "world"})
    assert caught.value.reason == "unknown_format"
    assert all(each.title in caught.value.message for each in FORMATS)


def test_a_file_of_one_alert_is_that_alert_with_what_it_knows_of_hosts() -> None:
    features = {
        "web1": {"userid": "machine_1", "user_group": "HR", "OS": "Linux", "risk": None},
        "web2": {"user_name": ["ann", "bob"]},
        "web3": {"OS": "Windows"},
    }
    alert = read_alert({"input": [{**SEED, "src": "web1", "dst": "web2"}], "node_feature": features})
    assert alert.other_attributes["node"] == {
        "src": {"userid": "machine_1", "user_group": "HR", "OS": "Linux"},
        "dst": {"user_name": ["ann", "bob"]},
    }
    assert alert.other_attributes["user"] == ["ann", "machine_1", "bob"]
    assert read_alert_bytes(msgspec.json.encode(alert)) == alert


def test_a_senders_own_node_gives_way_to_what_its_file_knows() -> None:
    record = {**SEED, "other_attributes_dict": {"node": False}}
    alert = read_alert({"input": [record], "node_feature": {SEED["src"]: {"os": "Linux"}}})
    assert alert.other_attributes == {"node": {"src": {"os": "Linux"}}}


def test_hosts_features_keep_an_alert_within_its_bounds() -> None:
    wide = {f"key{index}": index for index in range(400)}
    features = {SEED["src"]: {**wide, "user": "ann"}, SEED["dst"]: "no object"}
    alert = read_alert({"input": [{**SEED, "other_attributes_dict": wide}], "node_feature": features})
    assert len(alert.other_attributes) == 256
    assert list(alert.other_attributes["node"]) == ["src"]
    assert len(alert.other_attributes["node"]["src"]) == 64
    assert read_alert_bytes(msgspec.json.encode(alert)) == alert


@pytest.mark.parametrize("alerts", [[], [SEED, SEED]])
def test_a_file_of_more_than_one_alert_is_no_alert(alerts: list[Any]) -> None:
    with pytest.raises(AlertFault, match="put the file under input/") as caught:
        read_alert({"input": alerts})
    assert caught.value.reason == "not_one_alert"


def test_envelopes_within_envelopes_come_to_an_end() -> None:
    record: Any = SEED
    for _ in range(100):
        record = {"input": [record]}
    assert reason_of(record) == "unknown_format"
    assert format_of({"input": [{"input": [SEED]}]}).name == "seed"
    assert read_alert({"input": [CEF_LINE]}).id == "77"


def test_the_tenant_is_the_records_own_else_the_callers() -> None:
    assert read_alert(SEED, tenant="acme").tenant == "acme"
    assert read_alert({**SEED, "tenant": "other"}, tenant="acme").tenant == "other"
    assert read_alert({**SEED, "tenant": 5}, tenant="acme").tenant == "5"  # passed over, it would be of acme
    assert read_alert(SURICATA, tenant="acme").tenant == "acme"


def test_a_bad_alert_in_a_file_does_no_harm_to_its_neighbours() -> None:
    bad = [{**SEED, "time": "soon"}, None, 5, [SEED, {}], {}, "hello", {"input": [SEED, 7, SEED]}]
    mixed = [bad[0], SEED, *bad[1:3], CEF_LINE, *bad[3:], SNORT, SURICATA]
    document = read_document(mixed, tenant="acme")
    expected = (SEED, CEF_LINE, SEED, SEED, SEED, SNORT, SURICATA)
    assert document.alerts == [read_alert(each, tenant="acme") for each in expected]
    assert document.indexes == [1, 4, 5, 9, 11, 12, 13]
    assert [(index, fault.reason) for index, fault in document.faults] == [
        (0, "bad_time"),
        (2, "bad_field"),
        (3, "bad_field"),
        (6, "unknown_format"),
        (7, "unknown_format"),
        (8, "unknown_format"),
        (10, "bad_field"),
    ]


def test_a_file_of_the_seed_brings_its_settings() -> None:
    document = read_document(
        {
            "input": [SEED],
            "node_feature": {SEED["dst"]: {"os": "Linux"}, SEED["src"]: 5},
            "cluster_config": {"mu": 7},
            "config": {"x": 1},
        }
    )
    assert document.cluster_config == {"mu": 7}
    assert document.config == {"x": 1}
    assert document.node_features[SEED["dst"]] == {"os": "Linux"}
    assert document.alerts[0].other_attributes["node"] == {"dst": {"os": "Linux"}}
    assert not document.faults


@pytest.mark.parametrize(
    "document",
    [{"input": 5}, {"input": [], "node_feature": []}, {"input": [], "config": 1}, {"input": [], "cluster_config": "x"}],
)
def test_a_file_that_is_none_is_refused_whole(document: dict[str, Any]) -> None:
    with pytest.raises(AlertFault) as caught:
        read_document(document)
    assert caught.value.reason == "bad_field"


def test_one_alert_is_a_file_too() -> None:
    assert read_document(SEED).alerts == [read_alert(SEED)]
    assert read_document({"hello": 1}).faults[0][1].reason == "unknown_format"


def test_a_record_of_several_values_says_so() -> None:
    for text in (b'{"id": 1}{"id": 2}', b'{"id": 1}\n{"id": 2}'):
        with pytest.raises(AlertFault) as caught:
            read_alert_bytes(text)
        assert caught.value.reason == "not_one_alert"
