"""The bike pipeline: records in, predicted hires out, one model call a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from app.domains.bike.model import BikeModel
from app.domains.bike.records import BikeRecord, BikeResult, Prediction, columns_of
from app.inference.bundle import find_bundle
from app.stream.outcomes import Outcomes, digest_of
from app.stream.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.inference.manifest import Manifest
    from app.settings import Settings
    from app.stream.batch import Batch

UNKNOWN_WEATHER = "unknown_weather_code"  # the reason in quarantine


class BikePipeline(Pipeline[BikeRecord]):
    """Predicts hires for each record; an unknown weather code is quarantined, since the model never saw one."""

    name = "bike"
    record_type = BikeRecord

    def __init__(self, model: BikeModel, manifest: Manifest) -> None:
        """Take a loaded model and its bundle's manifest."""
        self._model = model
        self._kind, self._run_id = manifest.model, manifest.run_id
        self._version = digest_of(msgspec.json.encode(manifest))
        codes = next(field.categories or [] for field in manifest.signature if field.name == "weather_code")
        self._weather_codes = frozenset(map(float, codes))
        self._encode = msgspec.json.Encoder().encode
        any_prediction = Prediction(0, 0)
        result = self._encode(BikeResult(self._kind, self._run_id, any_prediction))
        self._head = result.removesuffix(self._encode(any_prediction) + b"}")

    @classmethod
    def open(cls, settings: Settings) -> BikePipeline:
        """Load the bundle that the settings name.

        Raises:
            ModelError: There is no such bundle, or it does not match its manifest.
        """
        bundle = find_bundle(cls.name, settings.run_id, settings.model_location, settings.model_keys)
        return bundle.load(lambda found: cls(BikeModel.load(found), found.manifest))

    def process(self, batch: Batch[BikeRecord]) -> Outcomes:
        """Emit one prediction for each record; quarantine those with an unknown weather code."""
        outcomes = Outcomes(len(batch))
        if not len(batch):
            return outcomes
        columns = columns_of(batch.records)
        ids = [record.pred_id for record in batch.records]
        results = self._results(self._model.predict(columns).tolist(), ids)
        outcomes.emit_columns(list(map(str, ids)), results, version=self._version)
        codes = columns.weather_code.tolist()
        if not self._weather_codes.issuperset(codes):
            for row, code in enumerate(codes):
                if code not in self._weather_codes:
                    outcomes.quarantine(row, UNKNOWN_WEATHER, self._unknown_weather(code))
        return outcomes

    def explain(self, record: BikeRecord) -> Mapping[str, object]:
        """Return the record's features, the model's intermediate values, and the result."""
        columns = columns_of([record])
        given = msgspec.to_builtins(record)
        if record.features.weather_code not in self._weather_codes:
            return {
                "record": given,
                "quarantined": {
                    "reason": UNKNOWN_WEATHER,
                    "message": self._unknown_weather(record.features.weather_code),
                },
            }
        [result] = self._results([int(self._model.predict(columns)[0])], [record.pred_id])
        return {
            "record": given,
            **self._model.steps(columns),
            "partition key": str(record.pred_id),
            "result": msgspec.json.decode(result),
        }

    def _results(self, counts: list[int], ids: list[int | str]) -> list[bytes]:
        """Return results as JSON; the part that all share is encoded once."""
        encode, head = self._encode, self._head
        return [head + encode(prediction) + b"}" for prediction in map(Prediction, counts, ids)]

    def _unknown_weather(self, code: float) -> str:
        known = ", ".join(f"{each:g}" for each in sorted(self._weather_codes))
        return f"{code:g} at `$.features.weather_code`; known are {known}"
