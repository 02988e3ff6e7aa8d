"""The models of the stream on files: by hand, in a folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from app.domains.alerts.files.driver import open_files, run_file
from app.errors import SettingsError
from app.settings import Settings, read_settings
from tests.unit.domains.alerts.files.files_for_tests import alert, put_input

if TYPE_CHECKING:
    from pathlib import Path

    from app.storage.objects import Objects


def rows(bucket: Objects, name: str) -> list[dict[str, object]]:
    data = bucket.get(name) or b"[]"
    found: list[dict[str, object]] = json.loads(data)
    return found


def test_a_folder_is_worked_on_by_the_models_of_the_stream(tmp_path: Path) -> None:
    lookup = tmp_path / "lookup.csv"
    lookup.write_text('alerts,techniques\nOdd thing on port 4444,"[""T1571""]"\n')
    context = open_files(str(tmp_path), read_settings({"LOOKUP_TABLE": str(lookup)}))
    alerts = [
        alert(1, "web1", "web1", "Odd thing on port 8443"),  # numbers are folded: what an analyst said holds
        alert(2, "web1", "web1", "Suspicious PowerShell download of a script from the internet"),
        alert(3, "web1", "db1", "anything", tech=["T1021.002"]),
        alert(4, "db1", "db1", "anything", tech=[]),
    ]
    name = put_input(context.objects, alerts, node_feature={"db1": {"userid": "admin"}})
    done = run_file(context, name, chunk_alerts=3)
    [run] = done.runs
    told = [
        each
        for chunk in (0, 1)
        for each in rows(context.objects, f"scratch/intermediate/{run}.{chunk:05d}/classification.json")
    ]
    assert [each["source"] for each in (told[0], told[2])] == ["lookup", "alert"]
    assert [each["ids"] for each in (told[0], told[2])] == [["T1571"], ["T1021.002"]]
    assert told[1]["source"] in {"model", "unknown"}
    assert float(str(told[1]["confidence"])) > 0  # the model was asked: without one it is 0
    clusters = rows(context.objects, f"output/{run}/cluster.json")
    assert sorted(str(each) for row in clusters for each in row["ids"]) == ["a1", "a2", "a3", "a4"]  # type: ignore[attr-defined]
    again = open_files(str(tmp_path), read_settings({"LOOKUP_TABLE": str(lookup)}))
    assert run_file(again, name, chunk_alerts=3) == done


def test_a_bucket_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="STATE_TABLE is not set"):
        open_files("s3://bucket/prefix", Settings())
    with pytest.raises(SettingsError, match="give a folder or s3"):
        open_files("http://bucket/prefix", Settings())
    assert open_files(str(tmp_path), Settings(state_table="heads")).store is not None
