"""The model pipeline on bundles written by hand: what records it takes, and what its results look like."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domains.model.pipeline import ModelPipeline
from app.errors import ModelError, SettingsError
from app.inference.bundle import Bundle, write_bundle
from app.inference.manifest import Field, Manifest, Target
from app.settings import Settings, read_settings
from app.storage.objects import FolderObjects, MemoryObjects
from app.stream.batch import Batch
from app.stream.outcomes import Quarantine
from app.stream.testing import MemorySpine

if TYPE_CHECKING:
    from pathlib import Path

    from app.inference.models import ColumnModel

RUN_ID = "0123456789abcdef0123456789abcdef"
FIELDS = [
    Field("t1", "double"),
    Field("petal width (cm)", "float", required=False),
    Field("class", "long"),
    Field("open", "boolean", required=False),
]
ROW: dict[str, Any] = {"t1": 2.5, "petal width (cm)": 1.5, "class": 3, "open": True}
LINEAR = {"coef": np.array([2.0, -1.0, 10.0, 0.5]), "intercept": np.array(0.25)}


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def bundle(
    folder: Path, target: Target | None, fields: list[Field] = FIELDS, files: dict[str, bytes] | None = None
) -> Bundle:
    """A bundle of a linear model."""
    manifest = Manifest("toy", RUN_ID, 'a "toy"', "2026-01-01T00:00:00+00:00", fields, {}, "", "", {}, target)
    place = FolderObjects(folder / "toy" / RUN_ID)
    return write_bundle(place, manifest, files or {"model.npz": npz(**LINEAR)})


@pytest.fixture
def pipeline(tmp_path: Path) -> ModelPipeline:
    return ModelPipeline(bundle(tmp_path, Target("cnt")))


class Fixed:
    """A model that answers what it is told, in place of one whose maths is known."""

    dtype: type[np.floating[Any]] = np.float64

    def __init__(self, *answers: Any) -> None:
        self.answers = np.array(answers, np.float64)

    def predict(self, features: Any) -> Any:
        return self.answers[: len(features)]


def with_model(pipeline: ModelPipeline, model: ColumnModel) -> ModelPipeline:
    pipeline._model = model
    return pipeline


def record(pred_id: Any = 1, **features: Any) -> bytes:
    return msgspec.json.encode({"features": {**ROW, **features}, "pred_id": pred_id})


def test_a_record_becomes_a_result_as_the_contract_has_it(pipeline: ModelPipeline) -> None:
    spine = MemorySpine(pipeline)
    spine.run([record(123)])
    [(key, _)] = spine.streams.records["output"]
    [result] = spine.outputs()
    assert key == "123"
    assert list(result) == ["model", "version", "prediction", "id", "source"]
    assert (result["model"], result["version"]) == ('a "toy"', RUN_ID)
    assert result["prediction"] == {"cnt": 2 * 2.5 - 1.5 + 10 * 3 + 0.5 + 0.25, "pred_id": 123}
    assert "/0/model/0/" in result["id"]


def test_a_run_that_is_imported_again_gives_other_ids(tmp_path: Path) -> None:
    ids = set()
    for number, target in enumerate([Target("cnt"), Target("cnt", rounded=True), Target("cnt")]):
        spine = MemorySpine(ModelPipeline(bundle(tmp_path / str(number), target)))
        spine.run([record(123)])
        ids |= {each["id"] for each in spine.outputs()}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"t1": "2"}, "mistyped_field"),
        ({"t1": None}, "mistyped_field"),
        ({"class": 2.5}, "mistyped_field"),
        ({"class": 2**63}, "out_of_range"),
        ({"t1": 1e39}, "out_of_range"),
        ({"open": 2}, "out_of_range"),
        ({"open": "yes"}, "mistyped_field"),
        ({"petal width (cm)": []}, "mistyped_field"),
        ({"pred_id": ""}, "out_of_range"),
        ({"pred_id": 1.5}, "mistyped_field"),
    ],
)
def test_each_fault_has_its_reason_and_its_neighbours_go_on(
    changes: dict[str, Any], reason: str, pipeline: ModelPipeline
) -> None:
    spine = MemorySpine(pipeline)
    spine.run([record(1), record(**{"pred_id": 7, **changes}), record(2)])
    assert [each["reason"] for each in spine.quarantined()] == [reason]
    assert [each["prediction"]["pred_id"] for each in spine.outputs()] == [1, 2]


@pytest.mark.parametrize("missing", ["t1", "class"])
def test_a_required_feature_that_is_missing_is_named(missing: str, pipeline: ModelPipeline) -> None:
    spine = MemorySpine(pipeline)
    spine.run([msgspec.json.encode({"features": {k: v for k, v in ROW.items() if k != missing}, "pred_id": 1})])
    [fault] = spine.quarantined()
    assert fault["reason"] == "missing_field"
    assert f"`{missing}`" in fault["message"]


def test_a_missing_optional_feature_reaches_the_model_as_nan(pipeline: ModelPipeline) -> None:
    given_rows = []

    class Watching(Fixed):
        def predict(self, features: Any) -> Any:
            given_rows.extend(features.tolist())
            return np.zeros(len(features))

    without = {"t1": 1, "class": 2}
    payloads = [{"features": without, "pred_id": 1}, {"features": {**without, "open": None}, "pred_id": 2}]
    MemorySpine(with_model(pipeline, Watching())).run([msgspec.json.encode(each) for each in payloads])
    assert len(given_rows) == 2
    for row in given_rows:
        assert (row[0], row[2]) == (1, 2)
        assert np.isnan([row[1], row[3]]).all()


def test_a_prediction_that_is_no_number_is_quarantined_with_its_record(pipeline: ModelPipeline) -> None:
    # A linear model needs every feature: without one it gives NaN.
    spine = MemorySpine(pipeline)
    spine.run([record(1), record(2, open=None), record(3)])
    [fault] = spine.quarantined()
    assert (fault["reason"], fault["message"]) == ("not_finite_prediction", "the model gave nan")
    assert [each["prediction"]["pred_id"] for each in spine.outputs()] == [1, 3]


@pytest.mark.parametrize(
    ("answer", "shown"), [(2.5, 2), (3.5, 4), (-0.4, 0), (1e15, 10**15), (math.inf, None), (1e19, None)]
)
def test_rounded_predictions_are_whole_numbers(answer: float, shown: int | None, tmp_path: Path) -> None:
    pipeline = with_model(ModelPipeline(bundle(tmp_path, Target("cnt", rounded=True))), Fixed(answer))
    spine = MemorySpine(pipeline)
    spine.run([record()])
    if shown is None:
        assert [each["reason"] for each in spine.quarantined()] == ["not_finite_prediction"]
    else:
        assert b'"cnt":%d,' % shown in spine.streams.records["output"][0][1]


@pytest.mark.parametrize("labels", [["red", 'so-called "blue"'], [0, 1], [False, True]])
@pytest.mark.parametrize("probabilities", [False, True])
def test_a_classifier_gives_a_label(labels: list[Any], *, probabilities: bool, tmp_path: Path) -> None:
    target = Target("kind", labels, probabilities=probabilities)
    scores = npz(coef=np.ones((4, 2)), intercept=np.zeros(2), softmax=np.array(True))
    pipeline = with_model(ModelPipeline(bundle(tmp_path, target, files={"model.npz": scores})), Fixed([0.25, 0.75]))
    spine = MemorySpine(pipeline)
    spine.run([record(5)])
    [result] = spine.outputs()
    both = {"probabilities": {str(labels[0]): 0.25, str(labels[1]): 0.75}} if probabilities else {}
    assert result["prediction"] == {"kind": labels[1], **both, "pred_id": 5}


def test_explain_shows_features_and_prediction(pipeline: ModelPipeline) -> None:
    steps = pipeline.explain(msgspec.json.decode(record("ride-1"), type=pipeline.record_type))
    assert list(steps) == ["record", "model", "features", "answer", "partition key", "result"]
    assert steps["features"] == {**ROW, "class": 3.0, "open": 1.0}
    assert steps["partition key"] == "ride-1"
    missing = pipeline.explain(msgspec.json.decode(record(1, open=None), type=pipeline.record_type))
    assert "not_finite_prediction" in str(missing["quarantined"])


def test_settings_name_the_bundle(tmp_path: Path) -> None:
    bundle(tmp_path, Target("cnt"))
    opened = ModelPipeline.open(read_settings({"MODEL_NAME": "toy", "RUN_ID": RUN_ID, "MODEL_LOCATION": str(tmp_path)}))
    assert opened.name == "model"
    with pytest.raises(SettingsError, match="MODEL_NAME is not set"):
        ModelPipeline.open(Settings(model_location=str(tmp_path)))


@pytest.mark.parametrize(
    ("target", "fields", "arrays", "complaint"),
    [
        (None, FIELDS, LINEAR, "has no target: PIPELINE=toy may run it"),
        (Target("pred_id"), FIELDS, LINEAR, "'pred_id' is a field of every result"),
        (Target(""), FIELDS, LINEAR, "'' cannot be a field"),
        (Target('"cnt"'), FIELDS, LINEAR, "'\"cnt\"' cannot be a field"),
        (Target("cnt"), [*FIELDS[:3], Field("a\\b", "double")], LINEAR, "cannot be a field"),
        (Target("cnt"), [*FIELDS[:3], FIELDS[0]], LINEAR, "two inputs have one name"),
        (Target("cnt"), [], LINEAR, "the signature has no inputs"),
        (Target("cnt"), FIELDS[:2], LINEAR, "does not take 2 features"),
        (Target("cnt"), [*FIELDS[:3], Field("sky", "string")], LINEAR, "field 'sky' is a string"),
        (Target("kind", [0, 1, 2]), FIELDS, LINEAR, r"gives \(1,\) for a row, not \(1, 3\)"),
        (Target("cnt"), FIELDS, {"coef": np.ones((4, 2)), "intercept": np.zeros(2)}, r"gives \(1, 2\) for a row"),
    ],
)
def test_a_bundle_whose_parts_do_not_fit_is_refused_at_the_start(
    target: Target | None, fields: list[Field], arrays: dict[str, Any], complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=complaint) as refused:
        ModelPipeline(bundle(tmp_path, target, fields, {"model.npz": npz(**arrays)}))
    assert "\n" not in str(refused.value)


finite = st.floats(-1e6, 1e6)
plain = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'))
rows = st.lists(st.tuples(finite, finite, st.integers(-1000, 1000), st.booleans()), min_size=1, max_size=40)
ids = st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(rows, st.data())
def test_a_row_has_the_same_result_however_rows_are_cut(rows: list[Any], data: st.DataObject) -> None:
    weights = np.random.default_rng(0).normal(size=(4, 3))
    bundles = {
        "regression": (Target("cnt"), npz(coef=weights[:, 0], intercept=np.array(0.1))),
        "classifier": (
            Target("cnt", ["a", "b", "c"], probabilities=True),
            npz(coef=weights / 1000, intercept=weights[0], softmax=np.array(True)),
        ),
    }
    target, arrays = bundles[data.draw(st.sampled_from(sorted(bundles)))]
    pipeline = in_memory(target, arrays)
    payloads = [record(n, **dict(zip(ROW, row, strict=True))) for n, row in enumerate(rows)]
    cut = data.draw(st.integers(0, len(rows)))
    whole, parts = MemorySpine(pipeline), MemorySpine(pipeline)
    whole.run(payloads)
    for start, part in ((0, payloads[:cut]), (cut, payloads[cut:])):
        if part:
            parts.run(part, start=start)
    assert sorted(parts.streams.records["output"]) == sorted(whole.streams.records["output"])


@given(
    answers=st.lists(st.tuples(st.floats(), ids), min_size=1, max_size=20),
    target=plain,
    rounded=st.booleans(),
)
def test_every_result_is_json_that_gives_the_number_back(
    answers: list[tuple[float, Any]], target: str, *, rounded: bool
) -> None:
    name = f"{target}."
    pipeline = with_model(in_memory(Target(name, rounded=rounded), npz(**LINEAR)), Fixed(*[v for v, _ in answers]))
    payloads = [record(pred_id) for _, pred_id in answers]
    outcomes = pipeline.process(batch_of(pipeline, payloads)).as_list()
    for outcome, (value, pred_id) in zip(outcomes, answers, strict=True):
        if isinstance(outcome, Quarantine):
            assert not math.isfinite(value) or (rounded and abs(value) >= 2**63)
            continue
        assert isinstance(outcome, tuple)
        [output] = outcome
        found = msgspec.json.decode(output.data)["prediction"]
        expected = float(np.rint(value)) if rounded else value
        assert found == {name: expected, "pred_id": pred_id}
        assert output.partition_key == str(pred_id)


def in_memory(target: Target, arrays: bytes) -> ModelPipeline:
    manifest = Manifest("toy", RUN_ID, "toy", "2026-01-01T00:00:00+00:00", FIELDS, {}, "", "", {}, target)
    return ModelPipeline(write_bundle(MemoryObjects(), manifest, {"model.npz": arrays}))


def batch_of(pipeline: ModelPipeline, payloads: list[bytes]) -> Any:
    """Payloads as the spine hands them to the pipeline."""
    count = len(payloads)
    decoded = [msgspec.json.decode(payload, type=pipeline.record_type) for payload in payloads]
    numbers = [str(number) for number in range(count)]
    return Batch("in", ["shard"] * count, numbers, [0] * count, ["key"] * count, [0.0] * count, payloads, decoded)
