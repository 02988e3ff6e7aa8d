"""Formats of one's own, from TOML files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from app.domains.alerts.formats import FORMATS, format_of, read_alert, read_document
from app.domains.alerts.formats.own_tables import (
    LARGEST_FILE_BYTES,
    load_own_formats,
    read_own_format,
    read_own_formats,
)
from app.domains.alerts.formats.recognise import use_own_formats
from app.errors import SettingsError
from tests.commands_for_tests import run_command

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[5] / "docs" / "own-formats.md").read_text(encoding="utf-8")
ACME = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)[0]
RECORD: dict[str, Any] = json.loads(re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[0])
SMALL = """\
name = "small"
[recognise]
keys = ["small_id"]
[fields]
time = "at"
name = "what"
src = "from"
"""


@pytest.fixture(autouse=True)
def _no_formats_stay() -> Iterator[None]:
    yield
    use_own_formats(())


def written(folder: Path, text: str, name: str = "own.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read_own_format(written(folder, text))
    return str(caught.value)


def test_the_example_of_the_page(tmp_path: Path) -> None:
    load_own_formats(str(written(tmp_path, ACME)))
    alert = read_alert(RECORD)
    assert format_of(RECORD).name == "acme"
    assert (alert.id, alert.time, alert.src, alert.dst) == ("d-1", 1_716_468_856.0, "192.0.2.10", "198.51.100.7")
    assert (alert.name, alert.tech) == ("Many failed logins", ["T1110.001"])
    assert (alert.severity, alert.severity_from) == (75, "ACME Sensor severity 4 of 5")
    assert alert.aliases == [("web1", "198.51.100.7")]
    others = alert.other_attributes
    assert (others["user"], others["host"], others["port"], others["product"]) == ("ann", "web1", 22, "ACME Sensor")
    assert others["sensor"] == "s-7"
    closed = read_alert({**RECORD, "detection": {**RECORD["detection"], "state": "resolved"}})
    assert closed.closed == "ACME Sensor detection.state resolved"


def test_a_record_without_an_id_gets_one_from_its_fields(tmp_path: Path) -> None:
    load_own_formats(str(written(tmp_path, SMALL)))
    record = {"small_id": 1, "at": 1_716_468_856, "what": "Odd login", "from": "web1"}
    assert read_alert(record).id == read_alert({**record, "unread": 2}).id
    assert read_alert(record).id != read_alert({**record, "from": "web2"}).id


@pytest.mark.parametrize(
    "record",
    [
        {"@timestamp": "2024-05-23T12:54:16Z"},
        {"id": 1, "time": 1, "src": "a", "dst": "b"},
        {"event_type": "alert", "alert": {}},
        {"input": [{"id": 1}]},
    ],
)
def test_own_formats_are_tried_before_all_others_and_before_envelopes(tmp_path: Path, record: dict[str, Any]) -> None:
    load_own_formats(str(written(tmp_path, SMALL)))
    own = {**record, "small_id": 1, "at": 1_716_468_856, "what": "Odd login", "from": "web1"}
    assert format_of(own).name == "small"
    assert read_alert(own).name == "Odd login"
    assert len(read_document([own, own]).alerts) == 2


def test_what_is_not_of_an_own_format_is_read_as_before(tmp_path: Path) -> None:
    record = {"id": 1, "time": 1_716_468_856, "src": "a", "dst": "b", "name": "n"}
    before = read_alert(record)
    load_own_formats(str(written(tmp_path, SMALL)))
    assert read_alert(record) == before


def test_a_prefix_goes_before_each_path_but_not_before_the_features(tmp_path: Path) -> None:
    text = SMALL.replace("[recognise]", 'prefix = "event"\n[recognise]') + 'keep = ["zone", "kind=type"]\n'
    load_own_formats(str(written(tmp_path, text)))
    inner = {"at": 1_716_468_856, "what": "Odd login", "from": "web1", "zone": "dmz", "type": 7}
    alert = read_alert({"small_id": 1, "event": inner})
    assert (alert.name, alert.src) == ("Odd login", "web1")
    assert (alert.other_attributes["zone"], alert.other_attributes["kind"]) == ("dmz", 7)


@pytest.mark.parametrize(
    ("table", "value", "severity"),
    [
        ("", 40, 40),
        ("", "high", 80),
        ("scale = [0, 10]", 7, 70),
        ("scale = [5, 1]", 1, 100),
        ("scale = [5, 1]", 4, 25),
        ('words = { sev1 = "critical", sev2 = 70 }', "SEV1", 95),
        ('words = { sev1 = "critical", sev2 = 70 }', "sev2", 70),
        ("scale = [0, 10]", 99, 100),
        ("scale = [0, 10]", "odd", None),
    ],
)
def test_severities(tmp_path: Path, table: str, value: object, severity: int | None) -> None:
    text = f'{SMALL}severity = "level"\n' + (f"[severity]\n{table}\n" if table else "")
    load_own_formats(str(written(tmp_path, text)))
    record = {"small_id": 1, "at": 1_716_468_856, "what": "Odd login", "from": "web1", "level": value}
    assert read_alert(record).severity == severity


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL.replace("[fields]", "[fields]\nsevrity = 'x'"), "'sevrity' is no key: did you mean severity?"),
        (SMALL.replace("[recognise]", "[recognize]"), "'recognize' is no key: did you mean recognise?"),
        (SMALL.replace('"at"', '"at..x"'), "[fields] time: 'at..x' is no path"),
        (SMALL.replace('"at"', "5"), "[fields] time is neither a text nor a list of texts"),
        (SMALL.replace('time = "at"', ""), "[fields] time is missing"),
        (SMALL.replace('name = "what"', ""), "[fields] name is missing"),
        (SMALL.replace('src = "from"', ""), "[fields] has none of src, dst, either and user"),
        (SMALL.replace('keys = ["small_id"]', ""), "[recognise] is missing or empty"),
        (SMALL.replace('name = "small"', 'name = "Small!"'), "name is missing or none"),
        (SMALL.replace('name = "small"', 'name = "wazuh"'), "'wazuh' is one of Millrace's own formats"),
        (SMALL + "[severity]\nscale = [1, 1]", "[severity] scale has two equal numbers"),
        (SMALL + "[severity]\nscale = 1", "[severity] scale is not two numbers"),
        (SMALL + "[severity]\nwords = { a = 'dire' }", "[severity] words: a: write 0 to 100"),
        (SMALL + "[[aliases]]\nnames = 'a'", "[[aliases]] needs both names and addresses"),
        ('fields = 5\nname = "small"\n[recognise]\nkeys = ["small_id"]', "fields is no table"),
        ("name = ", "it is no TOML"),
    ],
)
def test_a_fault_is_one_line_with_the_file_and_the_mend(tmp_path: Path, text: str, message: str) -> None:
    found = faults_of(tmp_path, text)
    assert message in found
    assert found.startswith(str(tmp_path / "own.toml"))
    assert len(found.splitlines()) == 1


def test_all_faults_of_a_file_are_named(tmp_path: Path) -> None:
    found = faults_of(tmp_path, SMALL.replace('"at"', "5").replace("[fields]", "[fields]\nsrcc = 'x'"))
    assert "[fields] time is neither" in found
    assert "; [fields] 'srcc' is no key" in found or "'srcc' is no key: did you mean src?; " in found


def test_files_and_folders_with_colons_between_them(tmp_path: Path) -> None:
    folder = tmp_path / "formats"
    folder.mkdir()
    written(folder, SMALL, "a.toml")
    written(folder, SMALL.replace("small", "other"), "b.toml")
    alone = written(tmp_path, ACME)
    assert [each.name for each in read_own_formats(f"{alone}:{folder}")] == ["acme", "small", "other"]
    with pytest.raises(SettingsError, match="another file has the name 'small'"):
        read_own_formats(f"{folder}:{folder / 'a.toml'}")
    with pytest.raises(SettingsError, match=r"missing\.toml: cannot be read: No such file"):
        read_own_formats(str(tmp_path / "missing.toml"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"empty: the folder has no file ….toml"):
        read_own_formats(f"{alone}:{tmp_path / 'empty'}")


def test_a_file_may_be_of_windows(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert read_own_format(file).name == "small"


def test_check_shows_what_each_field_becomes(tmp_path: Path) -> None:
    sample = tmp_path / "sample.jsonl"
    sample.write_text(
        "".join(
            json.dumps(each) + "\n" for each in (RECORD, {"other": 1}, {**RECORD, "network": 1, "host": 1, "actor": 1})
        )
    )
    done = run_command("millrace", ["alerts", "format", "check", str(written(tmp_path, ACME)), str(sample)])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["records"], found["recognised"], found["read"]) == (3, 2, 1)
    fields = {each["field"]: each for each in found["fields"]}
    assert fields["src"] == {
        "field": "src",
        "path": "network.client.ip",
        "value": "192.0.2.10",
        "becomes": "192.0.2.10",
        "records": 1,
    }
    assert fields["severity"]["becomes"] == "75 of 100"
    assert fields["hash"]["why"] == "no record has file.sha256"
    assert found["faults"][0].startswith("line 2: not recognised: acme is known by")
    assert found["faults"][1].startswith("line 3: missing_src")


def test_check_of_a_sample_of_another_format_fails(tmp_path: Path) -> None:
    sample = tmp_path / "sample.jsonl"
    sample.write_text('{"other": 1}\n')
    done = run_command("millrace", ["alerts", "format", "check", str(written(tmp_path, ACME)), str(sample)])
    assert done.returncode != 0
    assert "none has the features" in " ".join(done.stderr.split())


def test_the_setting_holds_for_commands_and_the_list(tmp_path: Path) -> None:
    sample, file = tmp_path / "sample.jsonl", written(tmp_path, ACME)
    sample.write_text(json.dumps(RECORD) + "\n")
    environ = {"ALERTS_FORMATS": str(file)}
    done = run_command("millrace", ["alerts", "technique", "--no-model", str(sample)], environ=environ)
    assert json.loads(done.stdout)["techniques"][0]["id"] == "T1110.001", done.stderr
    listed = run_command("millrace", ["alerts", "format", "list"], environ=environ)
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert rows[0]["name"] == "acme"
    assert rows[0]["origin"] == "ALERTS_FORMATS"
    assert {each["name"] for each in rows[1:]} == {each.name for each in FORMATS}


def test_a_format_is_a_regular_file_of_few_bytes(tmp_path: Path) -> None:
    path = tmp_path / "large.toml"
    path.write_bytes(b"#" * (LARGEST_FILE_BYTES + 1))
    for file, why in ((path, f"more than {LARGEST_FILE_BYTES} bytes"), (Path("/dev/zero"), "not a regular file")):
        with pytest.raises(SettingsError, match=why):
            read_own_format(file)
