"""The promises that every domain keeps: a new one is held to them by its line in `DOMAINS`."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from app import domains
from app.domain import Domain, HandlerSpec, PipelineSpec, import_named
from app.errors import SettingsError
from app.handlers.api.handler import ApiLambdaHandler
from app.inference.manifest import Target
from app.registry import DOMAINS, HANDLERS, pipeline_class, settings_of_domains
from app.settings import Settings, read_settings
from app.storage.state import MemoryState
from app.stream.testing import FakeStreams, MemorySpine
from tests.unit.domains import test_model_pipeline as toy

PIPELINES = [pipeline for domain in DOMAINS for pipeline in domain.pipelines]
SPECS = [handler for domain in DOMAINS for handler in domain.handlers]
ROWS, DAMAGED = 8, (2, 5)  # of a shard, and the records in it that are no records

NEVER_IMPORTED = {"mlflow", "sklearn", "pandas", "duckdb", "deltalake"}
"""Packages of training and of tables: what one domain needs for them is imported when it is used."""
NOT_BY_A_STREAM = NEVER_IMPORTED | {"starlette", "mangum", "uvicorn", "typer", "rich", "aws_lambda_powertools"}


def name_of(spec: Domain | PipelineSpec | HandlerSpec) -> str:
    return spec.name


class Stream:
    """A pipeline on a shard of its example, with some damaged records."""

    def __init__(self, spec: PipelineSpec, folder: Path) -> None:
        settings = read_settings({})
        example = spec.example
        if spec.name == "model":  # its records are those of the bundle that it runs
            toy.bundle(folder, Target("cnt"))
            settings = read_settings({"MODEL_NAME": "toy", "MODEL_LOCATION": str(folder)})
            example = {"features": toy.ROW, "pred_id": 1}
        kind = pipeline_class(spec.name)
        self.payloads = [b"{" if row in DAMAGED else msgspec.json.encode(example) for row in range(ROWS)]
        self.keys = ["acme"] * ROWS
        self.store, self.streams = MemoryState(), FakeStreams()
        self._spine = MemorySpine(kind.open(settings), self.streams, store=self.store)

    def run(self, start: int, stop: int) -> None:
        """Process the records from one index to before another, as one batch."""
        result = self._spine.run(self.payloads[start:stop], self.keys[start:stop], start=start)
        assert result.acknowledged == stop - start

    def outputs(self) -> set[tuple[str, str, bytes]]:
        """Return stream, partition key and data of each output; a repeated one counts once."""
        return {
            (stream, key, data)
            for stream, records in self.streams.records.items()
            for key, data in records
            if stream != "quarantine"
        }

    def applied(self) -> dict[str, tuple[object, ...]]:
        """Return the value of each state key, and the last record applied, without the number of commits."""
        return {key: (each.value, each.applied) for key, each in self.store.stored.items()}

    def quarantined(self) -> list[tuple[str, str]]:
        """Return the reason and the sequence number of each quarantined record."""
        return [(each["reason"], each["source"]["sequence_number"]) for each in self._spine.quarantined()]


@pytest.mark.parametrize("spec", PIPELINES, ids=name_of)
class TestPipeline:
    def test_it_has_the_name_by_which_it_is_asked_for(self, spec: PipelineSpec) -> None:
        assert pipeline_class(spec.name).name == spec.name

    def test_its_example_gives_outputs_to_its_own_roles(self, spec: PipelineSpec, tmp_path: Path) -> None:
        stream = Stream(spec, tmp_path)
        stream.run(0, ROWS)
        roles = {"output" if role == "default" else role for role in pipeline_class(spec.name).roles}
        assert stream.outputs()
        assert {name for name, _, _ in stream.outputs()} <= roles
        assert len(stream.quarantined()) == len(DAMAGED)

    def test_the_records_that_feed_makes_up_are_its_records(self, spec: PipelineSpec, tmp_path: Path) -> None:
        assert spec.stream
        made: list[bytes] = []
        if spec.sample_records:
            made = list(import_named(spec.sample_records, SettingsError, "maker of records", "function")(ROWS))
        if spec.feed:
            feed = import_named(spec.feed, SettingsError, "reader of records", "function")
            made = [payload for _, payload in feed(None, ROWS, endless=False, key=None)[0]]
        stream = Stream(spec, tmp_path)
        stream.payloads = made or stream.payloads
        stream.run(0, ROWS)
        assert len(stream.quarantined()) == (0 if made else len(DAMAGED))

    @pytest.mark.parametrize("size", [1, 3])
    def test_the_outcomes_are_the_same_however_the_records_are_cut(
        self, spec: PipelineSpec, size: int, tmp_path: Path
    ) -> None:
        whole, cut = Stream(spec, tmp_path / "whole"), Stream(spec, tmp_path / "cut")
        whole.run(0, ROWS)
        for start in range(0, ROWS, size):
            cut.run(start, min(start + size, ROWS))
        assert cut.outputs() == whole.outputs()
        assert cut.quarantined() == whole.quarantined()
        assert cut.applied() == whole.applied()

    def test_a_replay_gives_the_same_outputs_with_the_same_ids(self, spec: PipelineSpec, tmp_path: Path) -> None:
        stream = Stream(spec, tmp_path)
        stream.run(0, ROWS)
        before, state = stream.outputs(), dict(stream.store.stored)
        ids = [msgspec.json.decode(data)["id"] for _, _, data in before]
        stream.run(0, ROWS)
        assert stream.outputs() == before
        assert stream.store.stored == state
        assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("spec", SPECS, ids=name_of)
class TestHandler:
    def test_it_says_whether_it_answers_http(self, spec: HandlerSpec) -> None:
        assert issubclass(HANDLERS.handler_class(spec.name), ApiLambdaHandler) == spec.answers_http

    def test_it_takes_its_example(self, spec: HandlerSpec) -> None:
        HANDLERS.handler_class(spec.name).decode(msgspec.json.encode(spec.example))

    def test_it_is_found_by_each_of_its_names(self, spec: HandlerSpec) -> None:
        for name in (spec.name, spec.class_name, *spec.former_names):
            assert HANDLERS.find(name) is HANDLERS.function(spec.name)


@pytest.mark.parametrize("domain", DOMAINS, ids=name_of)
class TestDomain:
    def test_it_imports_no_other_domain_and_nothing_heavy(self, domain: Domain) -> None:
        streams = self._imported_by([each.class_name.partition(":")[0] for each in domain.pipelines])
        handlers = self._imported_by([each.class_name.rpartition(".")[0] for each in domain.handlers])
        assert {name.partition(".")[0] for name in streams} & NOT_BY_A_STREAM == set()
        assert {name.partition(".")[0] for name in handlers} & NEVER_IMPORTED == set()
        others = {each.name for each in DOMAINS} - {domain.name}
        found = {name.split(".")[2] for name in streams | handlers if name.count(".") > 2 and "app.domains." in name}
        assert found & others == set()

    def test_its_commands_can_be_added(self, domain: Domain) -> None:
        assert not domain.commands or callable(importlib.import_module(domain.commands).register)

    def test_its_folder_has_its_name_and_one_file_for_each_kind_of_thing(self, domain: Domain) -> None:
        package = f"app.domains.{domain.name}"
        assert importlib.import_module(package).DOMAIN is domain
        assert not domain.settings or domain.settings.startswith(f"{package}.settings:")
        assert all(each.class_name.startswith(f"{package}.pipeline:") for each in domain.pipelines)
        assert all(each.class_name.startswith(f"{package}.") for each in domain.handlers)
        assert all(".handlers." in each.class_name for each in domain.handlers)

    def _imported_by(self, modules: list[str]) -> set[str]:
        program = f"import sys\nimport {', '.join(modules)}\nprint(*sys.modules)" if modules else "print()"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        return set(done.stdout.split())


def test_every_folder_of_domains_has_its_line() -> None:
    there = {path.parent.name for path in Path(domains.__path__[0]).glob("*/__init__.py")}
    assert there == {domain.name for domain in DOMAINS}


def test_each_variable_belongs_to_one_struct_and_is_described() -> None:
    kinds: list[type[msgspec.Struct]] = [Settings, *settings_of_domains()]
    names = [field.name for kind in kinds for field in msgspec.structs.fields(kind)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "name",
    [
        "app.handlers.data_sync.operations.GetJSONFromFileHandler",
        "app.handlers.data_sync.operations.PutJSONToFileHandler",
        "app.pipelines.bike.api.PredictHandler",
        "app.pipelines.alerts.files.handlers.EnrichWithTechniqueHandler",
        "app.pipelines.alerts.files.handlers.ProcessEnrichedWithTechniqueHandler",
        "app.pipelines.alerts.files.handlers.CreateClusterHandler",
        "app.pipelines.alerts.files.handlers.ProcessClusterHandler",
        "app.pipelines.alerts.files.handlers.CreateFlowHandler",
        "app.pipelines.alerts.files.handlers.ProcessFlowHandler",
        "app.pipelines.alerts.files.handlers.UpdateLookupTableHandler",
        "app.router_function.RouterHandler",
        "app.lambda_function.StreamHandler",
    ],
)
def test_a_name_that_a_handler_has_had_is_still_its_name(name: str) -> None:
    """What is deployed, or stands in a script or in `ROUTER_HANDLERS`, goes on working after a class has moved."""
    found: Any = HANDLERS.find(name)
    assert found.handler_class.__name__ == name.rpartition(".")[2]
    assert HANDLERS.short_name(name) == found.handler_class.name


def test_a_struct_of_settings_that_is_not_there_is_one_line() -> None:
    with pytest.raises(SettingsError, match=r"^no settings 'app.nowhere:X': no module 'app.nowhere'"):
        import_named("app.nowhere:X", SettingsError, "settings")
