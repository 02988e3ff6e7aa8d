"""The model pipeline: records in, predictions out, one model call a batch, for any bundle with a target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from app.domains.model.records import ModelRecord, matrix_of, prediction_type, record_type
from app.domains.model.settings import ModelSettings
from app.errors import ModelError, SettingsError
from app.inference.bundle import find_bundle
from app.inference.models import load_columns
from app.stream.outcomes import Outcomes, digest_of
from app.stream.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from app.inference.bundle import Bundle
    from app.settings import Settings
    from app.stream.batch import Batch

MODEL_FILES = ("model.npz", "model.onnx")
NOT_FINITE = "not_finite_prediction"  # the reason in quarantine
_WHOLE_LIMIT = 2.0**63  # beyond it a rounded prediction is no 64-bit integer


class ModelPipeline(Pipeline[ModelRecord]):
    """Predicts for each record; a prediction that is no finite number is quarantined."""

    name = "model"

    def __init__(self, bundle: Bundle) -> None:
        """Load a bundle's model and try it on one row.

        Raises:
            ModelError: The bundle is for a pipeline of its own, or its parts do not fit together.
        """
        manifest, where = bundle.manifest, bundle.objects.root
        if manifest.target is None:
            raise ModelError(f"{where}: has no target: PIPELINE={manifest.name} may run it, PIPELINE=model cannot")
        file = next((name for name in MODEL_FILES if name in manifest.files), None)
        if file is None:
            raise ModelError(f"{where}: holds neither {' nor '.join(MODEL_FILES)}; import the model again")
        self.record_type = record_type(manifest.signature, where)
        self._prediction = prediction_type(manifest.target)
        self._names = [field.name for field in manifest.signature]
        self._target, self._file = manifest.target, file
        self._model = load_columns(bundle, file)
        self._encode = msgspec.json.Encoder().encode
        # What stands before the prediction is the same in every result of a bundle.
        names = {"model": manifest.model, "version": manifest.run_id}
        self._head = self._encode(names)[:-1] + b',"prediction":'
        self._version = digest_of(msgspec.json.encode(manifest))  # one run may be imported again, with other options
        self._check(where)

    @classmethod
    def open(cls, settings: Settings) -> ModelPipeline:
        """Load the bundle that the settings name.

        Raises:
            SettingsError: `MODEL_NAME` is not set.
            ModelError: There is no such bundle, or it does not match its manifest.
        """
        name = settings.read(ModelSettings).model_name
        if not name:
            raise SettingsError("MODEL_NAME is not set: name the bundle to run; `millrace model list` shows them")
        return find_bundle(name, settings.run_id, settings.model_location, settings.model_keys).load(cls)

    def process(self, batch: Batch[ModelRecord]) -> Outcomes:
        """Emit one prediction for each record; quarantine those that are not finite."""
        outcomes = Outcomes(len(batch))
        if not len(batch):
            return outcomes
        ids = [record.pred_id for record in batch.records]
        found = self._model.predict(self._matrix(batch.records))
        outcomes.emit_columns(list(map(str, ids)), self._results(found, ids), version=self._version)
        for row, message in self._unusable(found).items():
            outcomes.quarantine(row, NOT_FINITE, message)
        return outcomes

    def explain(self, record: ModelRecord) -> Mapping[str, object]:
        """Return the record's features as the model takes them, the model's output, and the result."""
        features = self._matrix([record])
        found = self._model.predict(features)
        labels = self._target.labels
        steps: dict[str, object] = {
            "record": msgspec.to_builtins(record),
            "model": self._file,
            "features": dict(zip(self._names, features[0].tolist(), strict=True)),
            "answer": dict(zip(map(str, labels), found[0].tolist(), strict=True)) if labels else found[0].tolist(),
        }
        unusable = self._unusable(found)
        if unusable:
            return {**steps, "quarantined": {"reason": NOT_FINITE, "message": unusable[0]}}
        [result] = self._results(found, [record.pred_id])
        return {**steps, "partition key": str(record.pred_id), "result": msgspec.json.decode(result)}

    def _matrix(self, records: Sequence[ModelRecord]) -> NDArray[np.floating[Any]]:
        return matrix_of(records, len(self._names), self._model.dtype)

    def _results(self, found: NDArray[np.floating[Any]], ids: list[int | str]) -> list[bytes]:
        """Return the model's outputs as results; those of unusable rows have no meaning."""
        encode, head = self._encode, self._head
        return [head + encode(each) + b"}" for each in map(self._prediction, *self._values(found), ids)]

    def _values(self, found: NDArray[np.floating[Any]]) -> list[list[Any]]:
        """Return the columns of a result's prediction before its id."""
        labels = self._target.labels
        if labels is None:
            if not self._target.rounded:
                return [found.tolist()]
            whole = np.where(_is_whole(found), np.rint(found), 0)
            return [whole.astype(np.int64).tolist()]
        chosen = [labels[index] for index in found.argmax(axis=1).tolist()]
        if not self._target.probabilities:
            return [chosen]
        names = list(map(str, labels))
        return [chosen, [dict(zip(names, row, strict=True)) for row in found.tolist()]]

    def _unusable(self, found: NDArray[np.floating[Any]]) -> dict[int, str]:
        """Return the rows without a finite prediction, each with a message; usually the model needs a missing field."""
        usable = _is_whole(found) if self._target.rounded else np.isfinite(found)
        if usable.all():
            return {}
        rows = np.flatnonzero(~(usable if usable.ndim == 1 else usable.all(axis=1))).tolist()
        return {row: f"the model gave {found[row].tolist()}" for row in rows}

    def _check(self, where: str) -> None:
        """Predict one row, so that a model of another shape is refused at the start and not record by record.

        Raises:
            ModelError: It does not take these features, or does not give what the target says.
        """
        labels = self._target.labels
        expected = (1,) if labels is None else (1, len(labels))
        takes = len(self._names)
        try:
            found = self._model.predict(np.zeros((1, takes), self._model.dtype))
        except Exception as error:  # ONNX Runtime's exceptions share no base but this
            raise ModelError(f"{where}/{self._file}: does not take {takes} features: import it again") from error
        if found.shape != expected:
            raise ModelError(f"{where}/{self._file}: gives {found.shape} for a row, not {expected}: import it again")
        if found.dtype.kind not in "fiu":
            raise ModelError(f"{where}/{self._file}: gives {found.dtype} for a row, no numbers: import it again")


def _is_whole(found: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Return whether a value, rounded, is a 64-bit integer."""
    whole: NDArray[np.bool_] = np.abs(found) < _WHOLE_LIMIT
    return whole
