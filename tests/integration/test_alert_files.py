"""The seven steps in S3 and DynamoDB: a file is put, and each object that a step writes starts the next."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest

from app import aws
from app.domains.alerts.files import handlers
from app.domains.alerts.files.events import alert_files_handler
from app.domains.alerts.lookups.dynamodb import PARTITION_KEY
from app.errors import CloudError, LocationError, RequestError, SettingsError, UnacknowledgedError
from app.handlers.invocation import process_settings
from app.storage.objects import open_objects
from tests.handlers_for_tests import LambdaContext
from tests.unit.domains.alerts.files.files_for_tests import SmallModels, alert

if TYPE_CHECKING:
    from devtools.cloud.supervisor import Cloud

pytestmark = pytest.mark.cloud
_numbers = itertools.count()

STEPS = (
    handlers.EnrichWithTechniqueHandler,
    handlers.ProcessEnrichedWithTechniqueHandler,
    handlers.UpdateLookupTableHandler,
    handlers.CreateClusterHandler,
    handlers.ProcessClusterHandler,
    handlers.CreateFlowHandler,
    handlers.ProcessFlowHandler,
)
ALERTS = [alert(number, f"h{number % 3}", f"h{number % 3}") for number in range(7)]


def table(key: str) -> str:
    name = f"alert-files-{next(_numbers)}"
    aws.client("dynamodb").create_table(
        TableName=name,
        KeySchema=[{"AttributeName": key, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


@pytest.fixture
def bucket(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001 - the environment first
    """A bucket and tables of the test's own, and stand-ins for the models."""
    name = f"alert-files-{next(_numbers)}"
    aws.client("s3").create_bucket(Bucket=name)
    monkeypatch.setenv("STATE_TABLE", table("state_key"))
    monkeypatch.setenv("LOOKUP_TABLE", table(PARTITION_KEY))
    monkeypatch.setattr(handlers, "LocalModels", lambda _settings: SmallModels())
    process_settings.cache_clear()
    return name


def event(bucket: str, key: str, name: str = "ObjectCreated:Put") -> dict[str, Any]:
    """What S3 sends when an object has arrived."""
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": name,
                "eventTime": "2026-01-31T12:00:00.000Z",
                "awsRegion": "us-east-1",
                "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/"), "size": 1}},
            }
        ]
    }


def keys(bucket: str) -> set[str]:
    return set(open_objects(f"s3://{bucket}").names())


def put(bucket: str, key: str, data: Any) -> None:
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    aws.client("s3").put_object(Bucket=bucket, Key=key, Body=body)


def get(bucket: str, key: str) -> Any:
    return json.loads(open_objects(f"s3://{bucket}").get(key) or b"null")


def results(bucket: str) -> dict[str, bytes | None]:
    objects = open_objects(f"s3://{bucket}")
    return {key: objects.get(key) for key in objects.names() if "/scratch/" not in f"/{key}" and "output/" in key}


def deliver(bucket: str, *arrived: str, times: int = 1) -> None:
    """Sends each object's event to every function, as one notification for the whole bucket does."""
    functions = [alert_files_handler(step) for step in STEPS]
    told, waiting = keys(bucket), list(arrived)
    while waiting:
        key = waiting.pop(0)
        for function in functions:
            for _ in range(times):
                function(event(bucket, key))
        new = sorted(keys(bucket) - told)
        told.update(new)
        waiting += new


@pytest.mark.parametrize("prefix", ["", "site a/b/"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_file_that_is_put_becomes_results(bucket: str, prefix: str, times: int) -> None:
    key = f"{prefix}input/day 1+ä.json"
    put(bucket, key, {"input": [*ALERTS, {"id": "bad"}]})
    deliver(bucket, key, times=times)
    [manifest] = [each for each in keys(bucket) if each.endswith("/manifest.json")]
    assert manifest.startswith(f"{prefix}output/day-1-")
    report = get(bucket, manifest)
    assert (report["file"], report["alerts"], report["skipped"]) == ("input/day 1+ä.json", 7, 1)
    rows = get(bucket, manifest.replace("manifest", "cluster"))
    assert [row["ids"] for row in rows] == [["a0", "a3", "a6"], ["a1", "a4"], ["a2", "a5"]]
    before = results(bucket)
    deliver(bucket, key)
    assert results(bucket) == before


def test_each_step_alone_by_its_own_event(bucket: str) -> None:
    put(bucket, "input/a.json", {"input": ALERTS})
    enrich, process, _, create, cluster, flow, finish = (step.get_handler() for step in STEPS)
    found = enrich({"location": f"s3://{bucket}/input/a.json", "chunk_alerts": 4})
    [run] = found["runs"]
    assert (found["alerts"], found["skipped"], found["chunks"], found["error"]) == (7, 0, 2, "")
    responses = [
        f"scratch/response/classification_out/{run}.{chunk:05d}/input_classification.json.out" for chunk in (0, 1)
    ]
    requests = [process({"location": f"s3://{bucket}/{each}"})["next"][0] for each in responses]
    assert create({"location": f"s3://{bucket}/{requests[1]}"})["next"] == []  # the chunk before is not done
    [response] = create({"location": f"s3://{bucket}/{requests[0]}"})["next"]
    [response] = cluster({"location": f"s3://{bucket}/{response}"})["next"]
    [request] = cluster({"location": f"s3://{bucket}/{response}"})["next"]
    assert request == f"scratch/output/cluster/{run}/input_flow.json"
    [response] = flow({"location": f"s3://{bucket}/{request}"})["next"]
    assert finish({"location": f"s3://{bucket}/{response}"}) == {"run": run, "manifest": f"output/{run}/manifest.json"}


def test_corrections_from_a_bucket_and_in_the_request(bucket: str) -> None:
    put(bucket, "lookup/mine.csv", b'alerts,techniques\nport scan,"[""T1046""]"\nnonsense,"[""T9999""]"\n')
    update = handlers.UpdateLookupTableHandler.get_handler()
    location = f"s3://{bucket}/lookup/mine.csv"
    found = update({"location": location, "time": 1_700_000_000.0})
    assert (found["taken"], [row["reason"] for row in found["rejected"]]) == (1, ["unknown_technique"])
    newer = {"corrections": [{"alert": "port scan", "techniques": ["T1595"]}], "time": 1_700_000_001.0}
    assert update(newer)["taken"] == 1
    again = update({"location": location, "time": 1_700_000_000.0})
    assert (again["taken"], again["outdated"]) == (0, 1)  # an event that comes late overrules nothing
    deliver(bucket, "lookup/mine.csv")  # by its event, of 2026: the newest
    table = handlers.UpdateLookupTableHandler.open(process_settings())._table
    assert table.find(["port scan"])["port scan"].techniques == ("T1046",)


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b'{"input": [', b'{"input": []}', b'{"input": [{}]}'])
def test_a_file_that_cannot_be_read_is_told_and_blocks_no_other(bucket: str, data: bytes) -> None:
    put(bucket, "input/bad.json", data)
    put(bucket, "input/good.json", {"input": ALERTS})
    deliver(bucket, "input/bad.json", "input/good.json")
    [report] = [get(bucket, each) for each in keys(bucket) if each.endswith("/error.json")]
    assert report["file"] == "input/bad.json"
    assert report["error"]
    assert "\n" not in report["error"]
    [manifest] = [get(bucket, each) for each in keys(bucket) if each.endswith("/manifest.json")]
    assert manifest["file"] == "input/good.json"


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("location", ["/etc/passwd", "file:///etc/passwd", "input/a.json"])
def test_an_event_names_no_local_file(location: str) -> None:
    for step in STEPS:
        with pytest.raises(RequestError, match=r"^\$\.location: give s3://bucket/"):
            step.get_handler()({"location": location})


def test_what_is_missing_is_one_line(bucket: str) -> None:
    enrich = handlers.EnrichWithTechniqueHandler.get_handler()
    with pytest.raises(LocationError, match=r"input/none\.json: there is no such object"):
        enrich({"location": f"s3://{bucket}/input/none.json"})
    with pytest.raises(CloudError, match="no-such-bucket"):
        enrich({"location": "s3://no-such-bucket/input/a.json"})
    with pytest.raises(RequestError, match=r"^\$\.location: give s3://bucket/…input/…$"):
        enrich({"location": f"s3://{bucket}/elsewhere/a.json"})


def test_without_a_state_table_clustering_says_so(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_TABLE")
    process_settings.cache_clear()
    location = f"s3://{bucket}/scratch/output/classification/a.00000/input.json"
    with pytest.raises(SettingsError, match="STATE_TABLE is not set"):
        handlers.CreateClusterHandler.get_handler()({"location": location})


def test_a_step_whose_time_is_up_goes_on_at_the_next_try(bucket: str) -> None:
    put(bucket, "input/a.json", {"input": ALERTS})
    enrich = handlers.EnrichWithTechniqueHandler.get_handler()
    with pytest.raises(UnacknowledgedError, match="no time is left"):
        enrich({"location": f"s3://{bucket}/input/a.json"}, LambdaContext(remaining_ms=1))
    assert enrich({"location": f"s3://{bucket}/input/a.json"})["chunks"] == 1


def test_what_a_person_must_mend_is_named_in_the_log(bucket: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever is called at night has the log, and no request to look at."""
    put(bucket, "input/a.json", {"input": ALERTS})
    deliver(bucket, "input/a.json")
    [response] = [each for each in keys(bucket) if each.endswith("/input.zip.out")]
    put(bucket, response, b"damaged")
    later = ("/clusters.json", "/input_flow.json", "/manifest.json")
    for each in [each for each in keys(bucket) if each.endswith(later)]:
        aws.client("s3").delete_object(Bucket=bucket, Key=each)  # a crash before all that
    capfd.readouterr()
    with pytest.raises(UnacknowledgedError):
        alert_files_handler(handlers.ProcessClusterHandler)(event(bucket, response))
    assert f"s3://{bucket}/{response}: no ZIP archive" in "".join(capfd.readouterr())


def test_what_is_removed_starts_nothing(bucket: str) -> None:
    enrich = alert_files_handler(handlers.EnrichWithTechniqueHandler)
    enrich(event(bucket, "input/gone.json", "ObjectRemoved:Delete"))
    assert keys(bucket) == set()
