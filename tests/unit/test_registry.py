"""Pipelines by name: those of domains, those of an installed package, and a class of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from app.doctor.finding import Finding
from app.doctor.here import examine_models
from app.domains.bike import RECORD
from app.domains.bike.pipeline import BikePipeline
from app.errors import EventError, NoOutputStreamError, SettingsError, UnknownPipelineError
from app.registry import example_record, open_runtime, pipeline_class
from app.settings import read_settings
from app.stream.pipeline import Pipeline
from app.stream.runtime import check_roles
from app.stream.testing import event_of

if TYPE_CHECKING:
    from pathlib import Path

ALARMS = """
import msgspec

from app.stream.outcomes import Outcomes
from app.stream.pipeline import Pipeline, StatefulPipeline


class Reading(msgspec.Struct):
    sensor: str
    celsius: float


class AlarmSettings(msgspec.Struct, frozen=True):
    alarm_celsius: float = 30


class Alarms(Pipeline[Reading]):
    name = "alarms"
    record_type = Reading

    def __init__(self, limit: float) -> None:
        self.limit = limit

    @classmethod
    def open(cls, settings):
        return cls(settings.read(AlarmSettings).alarm_celsius)

    def process(self, batch):
        outcomes = Outcomes(len(batch))
        for row, reading in enumerate(batch.records):
            if reading.celsius > self.limit:
                outcomes.emit(row, reading.sensor, msgspec.json.encode(reading))
            else:
                outcomes.skip(row, "cool")
        return outcomes


class Shown(Alarms):
    name = "shown"
    example = Reading("oven", 31)


class Packed(Alarms):
    name = "packed"
    example = b"oven 31"


class NotOpened(Alarms):
    open = classmethod(lambda cls, settings: cls())


class OpenedAsNothing(Alarms):
    open = classmethod(lambda cls, settings: None)


class Nameless(Pipeline[Reading]):
    record_type = Reading

    def process(self, batch): ...


class Unfinished(StatefulPipeline[Reading]):
    name = "unfinished"
    record_type = Reading


function = Alarms.open
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with the module `own_alarms` and one that cannot be imported."""
    (tmp_path / "own_alarms.py").write_text(ALARMS)
    (tmp_path / "own_damaged.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_domains_pipeline_has_a_short_name() -> None:
    assert pipeline_class("bike") is BikePipeline


@pytest.mark.usefixtures("folder")
def test_a_class_of_ones_own_runs_beside_a_domains() -> None:
    environ = {"PIPELINES": "rides:bike,sensors:own_alarms:Alarms", "ALARM_CELSIUS": "40", "TEST_RUN": "True"}
    runtime = open_runtime(read_settings(environ), measure=lambda *_: None)
    readings = [msgspec.json.encode({"sensor": "s", "celsius": celsius}) for celsius in (35, 45)]
    answer = runtime.handle(event_of(readings, stream="sensors"))
    assert [each["celsius"] for each in answer["predictions"]] == [45]
    assert answer["predictions"][0]["id"].endswith("/alarms/0")
    assert runtime.processor_for("rides").pipeline.name == "bike"


def install(folder: Path, package: str, hot: str) -> None:
    """Install a package that announces the pipeline `hot`."""
    info = folder / f"{package.replace('-', '_')}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[millrace.pipelines]\nhot = {hot}\n")


def test_two_installed_packages_may_not_announce_one_name(folder: Path) -> None:
    install(folder, "own-alarms", "own_alarms:Alarms")
    install(folder, "heat", "heat:Alarms")
    mend = "uninstall all but one, or set PIPELINE to one of heat:Alarms, own_alarms:Alarms$"
    with pytest.raises(UnknownPipelineError, match=f"^pipeline 'hot' is announced by heat and own-alarms: {mend}"):
        pipeline_class("hot")


def test_an_installed_package_announces_its_pipelines(folder: Path) -> None:
    install(folder, "own-alarms", "own_alarms:Alarms")
    assert pipeline_class("hot").__name__ == "Alarms"
    with pytest.raises(UnknownPipelineError, match="one of alerts, alerts-technique, bike, hot, model, or to package"):
        pipeline_class("cold")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("bikes", r"no pipeline 'bikes': set PIPELINE to one of .*, or to package\.module:Class$"),
        ("own_alarms.Alarms", r"no pipeline 'own_alarms.Alarms': set PIPELINE to .* package\.module:Class$"),
        ("own_alarms:", r"write package\.module:Class$"),
        (":Alarms", r"write package\.module:Class$"),
        ("nowhere.at.all:Alarms", r"no module 'nowhere'; is its folder on PYTHONPATH\?$"),
        ("own_damaged:Alarms", r"cannot be imported: ZeroDivisionError: division by zero$"),
        ("own_alarms:Alarm", r"there is no class 'Alarm' in own_alarms$"),
        ("own_alarms:Reading", r"'own_alarms:Reading' is no pipeline: name a class that extends Pipeline"),
        ("own_alarms:function", r"is no pipeline"),
        ("own_alarms:NotOpened", r"'own_alarms:NotOpened' cannot be opened: TypeError: .* argument: 'limit'$"),
        ("own_alarms:OpenedAsNothing", r"cannot be opened: its open returns NoneType, not a pipeline$"),
        ("own_alarms:Nameless", r"cannot be made: it has no name$"),
        ("own_alarms:Unfinished", r"cannot be made: it has no process_with and no state_keys$"),
    ],
)
def test_what_is_no_pipeline_is_one_line(name: str, line: str) -> None:
    with pytest.raises(UnknownPipelineError, match=line) as refused:
        open_runtime(read_settings({"PIPELINE": name, "TEST_RUN": "True"}))
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code == 11


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("environ", "error", "line"),
    [
        ({"ALARM_CELSIUS": "hot", "TEST_RUN": "True"}, SettingsError, "ALARM_CELSIUS is 'hot': set a number"),
        ({}, NoOutputStreamError, "OUTPUT_STREAM is not set"),
    ],
)
def test_a_setting_that_cannot_work_is_found_at_start(
    environ: dict[str, str], error: type[SettingsError], line: str
) -> None:
    with pytest.raises(error, match=line):
        open_runtime(read_settings({"PIPELINE": "own_alarms:Alarms", **environ}))


@pytest.mark.usefixtures("folder")
def test_the_doctor_opens_a_pipeline_of_ones_own() -> None:
    assert list(examine_models(read_settings({"PIPELINE": "own_alarms:Alarms"}))) == [
        "pipeline own_alarms:Alarms: opens"
    ]
    [finding] = examine_models(read_settings({"PIPELINE": "own_alarms:Alarms", "ALARM_CELSIUS": "hot"}))
    assert isinstance(finding, Finding)
    assert finding.what == "ALARM_CELSIUS is 'hot': set a number"


@pytest.mark.usefixtures("folder")
def test_the_example_of_a_pipeline_of_ones_own_is_the_one_it_declares() -> None:
    assert example_record("own_alarms:Shown") == b'{"sensor":"oven","celsius":31}'
    assert example_record("own_alarms:Packed") == b"oven 31"
    assert example_record("bike") == msgspec.json.encode(RECORD)
    assert list(examine_models(read_settings({"PIPELINE": "own_alarms:Shown"}))) == [
        "pipeline own_alarms:Shown: opens and processes the example"
    ]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("own_alarms:Alarms", "has no example record: give a record, or set `example` on its class$"),
        ("model", "has no example record: give a record$"),
    ],
)
def test_without_an_example_a_record_is_asked_for(name: str, line: str) -> None:
    with pytest.raises(EventError, match=line):
        example_record(name)


def test_a_role_without_a_stream_is_named_with_its_variable() -> None:
    class Sorted(Pipeline[bytes]):
        roles = ("default", "frost")

    for environ, mend in (
        (
            {},
            "no stream for default, frost: set OUTPUT_STREAM=<stream> OUTPUT_STREAMS=frost:<stream>, or TEST_RUN=True",
        ),
        ({"OUTPUT_STREAM": "hot"}, "no stream for frost: set OUTPUT_STREAMS=frost:<stream>, or TEST_RUN=True"),
    ):
        with pytest.raises(NoOutputStreamError, match=f"^pipeline sorted has {mend}$"):
            check_roles("sorted", Sorted.roles, read_settings(environ))
