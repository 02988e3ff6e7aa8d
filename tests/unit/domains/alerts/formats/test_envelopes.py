"""An alert reads the same bare and in whatever services, shippers and queues put around it."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from app.domains.alerts.alert import LARGEST_ALERT_BYTES, AlertFault
from app.domains.alerts.formats import read_alert, read_document
from app.domains.alerts.formats.envelopes import LARGEST_INFLATED_BYTES
from app.domains.alerts.formats.file import AlertFile
from app.domains.alerts.formats.pieces import PieceReader
from app.domains.alerts.formats.reading import read_alerts, read_alerts_bytes
from tests.unit.domains.alerts.formats.examples import (
    ASFF,
    CEF_LINE,
    ECS,
    EXAMPLES,
    GUARDDUTY,
    OCSF,
    SEED,
    SURICATA,
    TIME,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.domains.alerts.alert import Alert

OBJECTS = {name: each for name, each in EXAMPLES.items() if isinstance(each, dict)}
ARRIVAL = TIME + 60


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


ENVELOPES: dict[str, Callable[[Any], Any]] = {
    "alerts": lambda each: {"alerts": [each], "total": 1},
    "data": lambda each: {"data": [each], "meta": {"page": 1}},
    "results": lambda each: {"results": [each]},
    "value": lambda each: {"@odata.context": "x", "value": [each]},
    "answer in an answer": lambda each: {"response": {"data": {"items": [each]}}, "status": "ok"},
    "search hit": lambda each: {"hits": {"total": {"value": 1}, "hits": [{"_source": each}]}},
    "webhook": lambda each: {"alert": each},
    "EventBridge": lambda each: {"version": "0", "detail-type": "x", "source": "x", "detail": each},
    "SNS": lambda each: {
        "Type": "Notification",
        "MessageId": "1",
        "TopicArn": "arn:aws:sns:eu-west-1:111122223333:x",
        "Subject": "an alert",
        "Message": text(each),
        "Timestamp": "2024-05-23T12:54:20.000Z",
    },
    "SNS to Lambda": lambda each: {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": text(each)}}]},
    "SQS": lambda each: {"Records": [{"messageId": "1", "body": text(each), "eventSource": "aws:sqs"}]},
    "Kinesis": lambda each: {
        "Records": [
            {
                "kinesis": {"data": b64(text(each).encode()), "partitionKey": "1", "approximateArrivalTimestamp": TIME},
                "eventSource": "aws:kinesis",
            }
        ]
    },
    "GetRecords": lambda each: {"Records": [{"SequenceNumber": "1", "Data": b64(text(each).encode())}]},
    "Firehose": lambda each: {"requestId": "1", "records": [{"recordId": "1", "data": b64(text(each).encode())}]},
    "CloudWatch Logs": lambda each: {
        "awslogs": {
            "data": b64(
                gzip.compress(
                    json.dumps(
                        {
                            "messageType": "DATA_MESSAGE",
                            "logGroup": "alerts",
                            "logEvents": [{"id": "1", "timestamp": 1716468856500, "message": text(each)}],
                        }
                    ).encode()
                )
            )
        }
    },
    "CloudWatch Logs, decoded": lambda each: {
        "messageType": "DATA_MESSAGE",
        "logEvents": [{"id": "1", "timestamp": 1716468856500, "message": text(each)}],
    },
    "Splunk's result": lambda each: {"preview": False, "offset": 0, "result": {"_time": "1", "_raw": text(each)}},
    "Splunk's results": lambda each: {"results": [{"_raw": text(each), "host": "web1", "sourcetype": "x"}]},
    "Splunk's collector": lambda each: {"time": 1716468856.5, "sourcetype": "x", "host": "web1", "event": each},
    "Filebeat": lambda each: {"@timestamp": "2024-05-23T12:54:20Z", "message": text(each), "host": {"name": "gw1"}},
    "Logstash": lambda each: {"@timestamp": "2024-05-23T12:54:20Z", "event": {"original": text(each)}, "host": "gw1"},
    "Docker": lambda each: {"log": text(each) + "\n", "stream": "stdout", "time": "2024-05-23T12:54:20Z"},
    "JSON in a list": lambda each: [text(each)],
}


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_alert_reads_the_same_bare_and_wrapped(name: str, envelope: str) -> None:
    example = EXAMPLES[name]
    if (name == "ecs" and envelope in {"Filebeat", "Logstash"}) or (
        isinstance(example, str) and envelope in {"search hit", "EventBridge"}
    ):
        return  # no shipper or service writes it so
    wrapped = ENVELOPES[envelope](example)
    [found] = read_alerts(wrapped, received=ARRIVAL)
    assert found.alert == read_alert(example, received=ARRIVAL)
    assert read_alerts_bytes(json.dumps(wrapped).encode(), received=ARRIVAL)[0].alert == found.alert


@pytest.mark.parametrize("outer", ENVELOPES)
@pytest.mark.parametrize("inner", ["SNS", "Kinesis", "CloudWatch Logs", "EventBridge", "alerts"])
def test_envelopes_may_be_in_one_another(outer: str, inner: str) -> None:
    wrapped = ENVELOPES[outer](ENVELOPES[inner](GUARDDUTY))
    assert [each.alert for each in read_alerts(wrapped)] == [read_alert(GUARDDUTY)]


def ids(data: bytes, format_: str = "") -> list[Any]:
    """The ids of a file's alerts, and the reasons of what is none."""
    blocks = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    items = [item for items in AlertFile(iter(blocks), PieceReader(format_=format_)) for item in items]
    return [item.alert.id if item.alert else item.fault and item.fault.reason for item in items]


def numbered(count: int) -> list[dict[str, Any]]:
    return [{**SURICATA, "flow_id": number} for number in range(count)]


@pytest.mark.parametrize(
    "written",
    [
        lambda alerts: "".join(map(json.dumps, alerts)),
        lambda alerts: " ".join(map(json.dumps, alerts)),
        lambda alerts: "\n".join(map(json.dumps, alerts)),
        lambda alerts: json.dumps({"alerts": alerts}),
        lambda alerts: json.dumps({"alerts": alerts}, indent=1),
        lambda alerts: json.dumps({"Records": [{"body": json.dumps({"data": alerts})}]}),
        lambda alerts: json.dumps({"detail-type": "x", "detail": {"findings": alerts}}),
        lambda alerts: json.dumps(
            {"messageType": "x", "logEvents": [{"message": json.dumps(each)} for each in alerts]}
        ),
        lambda alerts: json.dumps({"records": [{"data": b64("\n".join(map(json.dumps, alerts)).encode())}]}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_several_alerts_in_one_text_are_read_from_files_and_from_records(
    written: Callable[[list[Any]], str], encoding: str
) -> None:
    alerts = numbered(5)
    data = written(alerts).encode(encoding)
    expected = [read_alert(each).id for each in alerts]
    assert [each.alert and each.alert.id for each in read_alerts_bytes(data)] == expected
    assert ids(data) == ids(gzip.compress(data)) == ids(data, "suricata") == expected


def test_one_bad_record_of_an_envelope_harms_no_other() -> None:
    events: list[Any] = [*map(json.dumps, numbered(2)), "CWL CONTROL MESSAGE", "{", CEF_LINE, '{"x": 1}', 7]
    readings = read_alerts({"logEvents": [{"message": each} for each in events]})
    reasons = [each.fault.reason if each.fault else "" for each in readings]
    assert reasons == ["", "", "unknown_format", "not_json", "", "unknown_format", "unknown_format"]
    with pytest.raises(AlertFault, match="holds 7 alerts") as caught:
        read_alert({"logEvents": [{"message": each} for each in events]})
    assert caught.value.reason == "not_one_alert"


def test_alerts_behind_elements_that_are_none_are_found() -> None:
    elements: list[Any] = ["started", 5, None, {"heartbeat": 1}, SEED]
    readings = read_alerts({"alerts": elements})
    assert [each.alert is not None for each in readings] == [False, False, False, False, True]


def test_an_alert_with_a_key_of_an_envelope_is_an_alert() -> None:
    for extra in (
        {"data": [SURICATA]},
        {"message": json.dumps(SURICATA)},
        {"event": SURICATA},
        {"results": [CEF_LINE]},
    ):
        assert read_alert({**SEED, **extra}).id == SEED["id"]
        assert read_alert({**ASFF, **extra}) == read_alert(ASFF)
        assert read_alert({**OCSF, **extra}).id == "f-1"


def test_an_alert_of_elastics_with_the_line_it_was_made_of_stays_elastics() -> None:
    assert read_alert({**ECS, "event": {"kind": "signal", "original": CEF_LINE}}).id == "k-1"
    assert read_alert({**ECS, "message": CEF_LINE}).id == "k-1"


def test_a_record_in_which_no_alert_shows_is_one_unknown_record() -> None:
    for record in (
        {"data": [1, 2]},
        {"events": [{"a": 1}, {"b": 2}]},
        {"message": "hello"},
        {"result": {"status": "ok"}},
    ):
        with pytest.raises(AlertFault) as caught:
            read_alert(record)
        assert caught.value.reason == "unknown_format"


def test_the_time_of_an_envelope_stands_in_for_one_that_is_missing() -> None:
    line = "CEF:0|Example|Wall|1|1|scan|3|src=192.0.2.1"
    alert: Alert | None = read_alerts({"logEvents": [{"timestamp": 1716468856500, "message": line}]})[0].alert
    assert alert is not None
    assert (alert.time, alert.other_attributes["time_from"]) == (TIME, "arrival")


def reason_of(record: Any) -> str:
    [found] = read_alerts(record)
    assert found.fault is not None
    return found.fault.reason


def test_packed_data_that_is_broken_or_too_large_has_a_reason() -> None:
    packed = gzip.compress(json.dumps(GUARDDUTY).encode())
    assert reason_of({"awslogs": {"data": b64(packed[:-20])}}) == "alert_too_large"
    assert reason_of({"awslogs": {"data": b64(packed[:12] + b"\xff" * 40)}}) == "not_json"
    bomb = b64(zlib.compress(b'{"x": "' + b"x" * (2 * LARGEST_INFLATED_BYTES)))
    assert reason_of({"awslogs": {"data": bomb}}) == "alert_too_large"
    large = {**SEED, "x": "x" * LARGEST_ALERT_BYTES}
    assert reason_of({"awslogs": {"data": b64(gzip.compress(json.dumps(large).encode()))}}) == "alert_too_large"


def test_a_record_of_several_alerts_may_be_larger_than_one() -> None:
    alerts = [{**SEED, "id": number, "x": "x" * (LARGEST_ALERT_BYTES // 2)} for number in range(4)]
    readings = read_alerts_bytes(json.dumps({"alerts": alerts}).encode())
    assert [each.alert and each.alert.id for each in readings] == [0, 1, 2, 3]


@pytest.mark.parametrize("key", ["data", "message", "alerts", "event", "input", "detail"])
def test_nesting_without_end_comes_to_one(key: str) -> None:
    record: Any = SEED
    for _ in range(50):
        record = {key: [record], "detail-type": "x"}
    assert reason_of(record) == "unknown_format"
    text = "[" * 1000
    for _ in range(8):
        text = json.dumps({key: text})
    with pytest.raises(AlertFault):
        read_alert(text)
    wide: Any = {"x": 1}
    for _ in range(4):
        wide = {each: [json.loads(json.dumps(wide))] * 3 for each in ("data", "message", "alerts", "event")}
    assert reason_of(wide) == "unknown_format"


def test_a_document_in_an_envelope_keeps_what_it_knows_of_hosts() -> None:
    document = {"input": [SEED], "node_feature": {SEED["src"]: {"os": "Linux"}}}
    alert = read_alert({"Records": [{"body": json.dumps(document)}]})
    assert alert.other_attributes["node"] == {"src": {"os": "Linux"}}
    assert read_document({"data": [SEED]}).alerts == [read_alert(SEED)]
