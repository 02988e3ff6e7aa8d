"""The lookup table in DynamoDB, against the real protocol: conditions, the bound, and other processes."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from app import aws
from app.domains.alerts.alert import Alert, Techniques
from app.domains.alerts.lookups.corrections import Correction, Report
from app.domains.alerts.lookups.dynamodb import COUNTERS, PARTITION_KEY, DynamoDbCorrections, digest
from app.domains.alerts.lookups.table import REFRESH_S, LookupTable, open_lookup, update, update_from_csv
from app.domains.alerts.techniques.resolver import TechniqueResolver
from app.errors import CloudError
from tests.alerts_lookup_for_tests import NOW, HandClock

if TYPE_CHECKING:
    from devtools.cloud.supervisor import Cloud

pytestmark = pytest.mark.cloud
_numbers = itertools.count()


@pytest.fixture
def name(cloud: Cloud) -> str:  # noqa: ARG001 - the environment first
    """An empty table of the test's own."""
    table = f"lookup-{next(_numbers)}"
    aws.client("dynamodb").create_table(
        TableName=table,
        KeySchema=[{"AttributeName": PARTITION_KEY, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": PARTITION_KEY, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return table


def opened(name: str, clock: HandClock | None = None, most: int = 100_000) -> LookupTable:
    return LookupTable(DynamoDbCorrections(name, most), clock or HandClock())


def said(text: str, *techniques: str, time: float = NOW, author: str = "", confidence: float = 1.0) -> Correction:
    return Correction(text, techniques, time, author, confidence)


def counters(name: str) -> dict[str, int]:
    item = aws.client("dynamodb").get_item(TableName=name, Key={PARTITION_KEY: {"S": COUNTERS}})["Item"]
    return {key: int(value["N"]) for key, value in item.items() if "N" in value}


def rows(name: str) -> int:
    return sum("text" in item for item in aws.client("dynamodb").scan(TableName=name)["Items"])


def test_a_correction_comes_back_as_it_was_put(name: str) -> None:
    given = [
        said("login from <ip>", "T1078", "T1685", time=NOW + 0.123456, author="Ann", confidence=0.25),
        said("backup done"),
        said("long " * 800, "T1003"),
        said("\u00fc \U0001f600 \u2028x", "T1003"),
    ]
    assert update(opened(name), given) == Report(4)
    folded = [" ".join(each.text.split()) for each in given]
    found = opened(name).find([*folded, "nothing"])
    assert sorted(found) == sorted(folded)
    assert found["login from <ip>"] == given[0]
    assert found["backup done"] == given[1]


def test_the_newest_wins_whatever_arrives_last(name: str) -> None:
    moments = [said("a", f"T{number}", time=float(NOW - number)) for number in (1003, 1005, 1006, 1007, 1008, 1010)]
    for each in random.Random(5).sample(moments, len(moments)):
        update(opened(name), [each])
        update(opened(name), [each])
    assert opened(name).find(["a"])["a"] == moments[0]
    assert update(opened(name), [moments[1], said("b")]) == Report(1, outdated=1)


def test_two_corrections_of_one_moment_leave_the_same_one_in_either_order(name: str) -> None:
    one, other = said("a", "T1003"), said("a", "T1078")
    for order in ((one, other), (other, one)):
        for each in order:
            update(opened(name), [each])
        assert opened(name).find(["a"])["a"] == other


def test_updates_side_by_side_leave_the_newest(name: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        reports = pool.map(lambda number: update(opened(name), [said("a", "T1003", time=number)]), range(24))
        assert sum(report.taken + report.outdated for report in reports) == 24
    assert opened(name).find(["a"])["a"].time == 23
    assert counters(name) == {"rows": 24, "version": 24}


def test_many_texts_are_read_at_once(name: str) -> None:
    words = [f"{a}{b}" for a in "abcdefghijkl" for b in "abcdefghijkl"]
    csv = "alerts,techniques\n" + "".join(f'{word},"[""T1003""]"\n' for word in words)
    assert update_from_csv(opened(name), csv.encode(), NOW) == Report(144)
    assert sorted(opened(name).find([*words, "zz", "zy"])) == words


def test_only_the_newest_are_kept(name: str) -> None:
    table = opened(name, most=10)
    update(table, [said(chr(97 + number), "T1003", time=float(number)) for number in range(8)])
    assert rows(name) == 8
    update(table, [said("z", "T1003", time=0.5), said("y", "T1003", time=20.0), said("x", "T1003", time=21.0)])
    assert rows(name) == 10
    assert sorted(table.find("abcdefghxyz")) == sorted("bcdefghxyz")  # "a" was the oldest
    assert counters(name)["rows"] == 10
    update(table, [said("w", "T1003", time=0.1)])  # itself the oldest
    assert rows(name) == 10
    assert table.find(["w"]) == {}


def test_repeated_updates_do_not_push_out_what_is_newer(name: str) -> None:
    table = opened(name, most=5)
    given = [said(letter, "T1003") for letter in "abcd"]
    for _ in range(4):
        assert update(table, given) == Report(4)
    assert rows(name) == 4
    assert counters(name)["rows"] == 4  # counted anew when the estimate went over the bound


def test_another_process_sees_a_correction_within_the_told_time(name: str) -> None:
    clock = HandClock()
    here, there = TechniqueResolver(opened(name, clock), None, None), opened(name)
    alert = Alert(id=1, time=0.0, src="a", dst="b", name="Odd login 17")
    assert here.resolve([alert])[0].source == Techniques.UNKNOWN
    update(there, [said("odd login 4", "T1078")])
    clock.passed += REFRESH_S
    assert here.resolve([alert]) == [Techniques(("T1078",), Techniques.LOOKUP, 1.0, (1.0,))]
    update(there, [said("odd login 4", "T1110", time=NOW + 1)])
    clock.passed += REFRESH_S
    assert here.resolve([alert])[0].ids == ("T1110",)


@pytest.mark.usefixtures("cloud")
def test_a_missing_table_is_one_clear_error() -> None:
    lookup = open_lookup("nowhere")
    assert lookup is not None
    for call in (lambda: lookup.find(["a"]), lambda: update(lookup, [said("a", "T1003")])):
        with pytest.raises(CloudError, match="lookup table nowhere: not found"):
            call()


def test_an_item_that_is_no_correction_is_one_clear_error(name: str) -> None:
    item = {PARTITION_KEY: {"S": digest("a")}, "text": {"S": "a"}, "techniques": {"S": "nonsense"}}
    aws.client("dynamodb").put_item(TableName=name, Item=item)
    with pytest.raises(CloudError, match=f"lookup table {name}: item {digest('a')} is no correction"):
        opened(name).find(["a"])


class Throttling:
    """DynamoDB that leaves keys unprocessed and refuses the first put of each item, or all."""

    def __init__(self, client: Any, *, always: bool = False) -> None:
        self._client = client
        self._always = always
        self._refused: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def batch_get_item(self, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - botocore's name
        [(table, request)] = RequestItems.items()
        keys = request["Keys"]
        served = 0 if self._always else len(keys) // 2 + 1
        answer = self._client.batch_get_item(RequestItems={table: {**request, "Keys": keys[: max(served, 1)]}})
        if not served:
            answer["Responses"] = {table: []}
        left = keys[served:]
        return {**answer, "UnprocessedKeys": {table: {"Keys": left}} if left else {}}

    def put_item(self, **request: Any) -> Any:
        item = repr(request["Item"])
        if self._always or item not in self._refused:
            self._refused.add(item)
            code = "ProvisionedThroughputExceededException"
            raise ClientError({"Error": {"Code": code, "Message": "slow down"}}, "PutItem")
        return self._client.put_item(**request)


@pytest.fixture
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.storage.items._PAUSE_BASE_S", 0.0)


@pytest.mark.usefixtures("_no_pauses")
def test_what_is_throttled_is_tried_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = Throttling(aws.client("dynamodb"))
    words = [f"{a}{b}" for a in "abcde" for b in "abcde"]
    with monkeypatch.context() as patch:
        patch.setattr(aws, "client", lambda _service: throttled)
        assert update(opened(name), [said(word, "T1003") for word in words]) == Report(25)
        assert sorted(opened(name).find(words)) == words


@pytest.mark.usefixtures("_no_pauses")
def test_what_is_throttled_for_long_is_an_error_and_no_answer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    throttled = Throttling(aws.client("dynamodb"), always=True)
    with monkeypatch.context() as patch:
        patch.setattr(aws, "client", lambda _service: throttled)
        with pytest.raises(CloudError, match=f"lookup table {name}: throttled"):
            opened(name).find(["a"])
        with pytest.raises(CloudError, match=f"lookup table {name}: ProvisionedThroughputExceeded"):
            update(opened(name), [said("a", "T1003")])


@pytest.mark.usefixtures("_no_pauses")
@pytest.mark.parametrize("step", ["update_item 1", "put_item", "scan", "delete_item", "update_item 2", "update_item 3"])
def test_an_update_that_breaks_off_anywhere_is_mended_by_the_next_try(
    name: str, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    given = [said(letter, "T1003", time=float(ord(letter))) for letter in "abcdef"]
    update(opened(name, most=4), [said(letter, "T1005", time=1.0) for letter in "xyz"])
    broken = Breaking(aws.client("dynamodb"), step)
    with monkeypatch.context() as patch:
        patch.setattr(aws, "client", lambda _service: broken)
        with pytest.raises(CloudError):
            update(opened(name, most=4), given)
    update(opened(name, most=4), given)
    assert rows(name) == 4
    assert sorted(opened(name).find("abcdefxyz")) == list("cdef")


class Breaking:
    """DynamoDB that goes away at a step of an update, and stays away."""

    def __init__(self, client: Any, step: str) -> None:
        self._client, self._step, self._updates, self._gone = client, step, 0, False

    def __getattr__(self, name: str) -> Any:
        self._updates += name == "update_item"
        wanted = {"update_item": f"update_item {self._updates}", "get_paginator": "scan"}.get(name, name)
        self._gone = self._gone or wanted == self._step
        if self._gone:
            raise ClientError({"Error": {"Code": "InternalServerError", "Message": "gone"}}, name)
        return getattr(self._client, name)


def test_corrections_of_rules_are_kept_and_removed(name: str) -> None:
    table = opened(name)
    of_rule = Correction("", ("T1110.001",), NOW, rule="5760", override=True)
    assert update(table, [of_rule, said("rule", "T1078")]) == Report(2)
    assert opened(name).find([of_rule.key, "rule"]) == {of_rule.key: of_rule, "rule": said("rule", "T1078")}
    before = counters(name)["version"]
    assert table.remove(of_rule.key)
    assert not table.remove(of_rule.key)
    assert set(opened(name).find([of_rule.key, "rule"])) == {"rule"}
    assert counters(name)["version"] > before  # other processes learn of it


def test_an_item_from_before_rules_is_a_correction(name: str) -> None:
    item = {PARTITION_KEY: {"S": digest("odd login")}, "text": {"S": "odd login"}, "techniques": {"S": '["T1078"]'},
            "time": {"N": "1.5"}, "author": {"S": ""}, "confidence": {"N": "1"}}  # fmt: skip
    aws.client("dynamodb").put_item(TableName=name, Item=item)
    assert opened(name).find(["odd login"]) == {"odd login": Correction("odd login", ("T1078",), 1.5)}


def test_a_tenants_correction_is_seen_by_another_process_and_reaches_no_other_tenant(name: str) -> None:
    clock = HandClock()
    reader, writer = TechniqueResolver(opened(name, clock), None, None), opened(name, most=6)
    alerts = [Alert(id=1, time=NOW, src="a", dst="a", name="door was open", tenant=each) for each in ("acme", "other")]
    update(writer, [said("door was open", "T1078")])
    assert [each.ids for each in reader.resolve(alerts)] == [("T1078",), ("T1078",)]
    update(writer, [said("door was open", "T1110")], only="acme")
    clock.sleep(REFRESH_S)
    assert [each.ids for each in reader.resolve(alerts)] == [("T1110",), ("T1078",)]
    flood = [said(f"flood {letter}", "T1046", time=NOW + 1) for letter in "abcdefgh"]
    update(writer, flood[:4], only="umbrella")
    update(writer, flood[4:], only="umbrella")
    clock.sleep(REFRESH_S)
    assert [each.ids for each in reader.resolve(alerts)] == [("T1110",), ("T1078",)]
    assert rows(name) == 6
