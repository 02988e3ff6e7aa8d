"""The bike pipeline: records in, predicted hires out, one model call a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from app.inference.bundle import find_bundle
from app.pipelines.bike.model import BikeModel
from app.pipelines.bike.records import BikeRecord, BikeResult, Prediction, columns_of
from app.stream.batch import Batch, Emit, Outcome, Output, Quarantine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.inference.manifest import Manifest
    from app.settings import Settings


class BikePipeline:
    """Predicts hires for each record; an unknown weather code is quarantined, since the model never saw one."""

    name = "bike"
    record_type = BikeRecord

    def __init__(self, model: BikeModel, manifest: Manifest) -> None:
        """Takes a loaded model and what its bundle says of it."""
        self._model = model
        self._kind, self._run_id = manifest.model, manifest.run_id
        codes = next(field.categories or [] for field in manifest.signature if field.name == "weather_code")
        self._weather_codes = np.array(codes, np.float64)
        self._encode = msgspec.json.Encoder().encode

    @classmethod
    def open(cls, settings: Settings) -> BikePipeline:
        """Loads the bundle that the settings name.

        Raises:
            ModelError: There is none such, or it is not what its manifest says.
        """
        bundle = find_bundle(cls.name, settings.run_id, settings.model_location)
        return cls(BikeModel.load(bundle), bundle.manifest)

    def process(self, batch: Batch[BikeRecord]) -> list[Outcome]:
        """One outcome a record."""
        if not len(batch):
            return []
        columns = columns_of(batch.records)
        counts = self._model.predict(columns).tolist()
        outcomes: list[Outcome] = [
            Emit((self._output(count, record.pred_id),)) for count, record in zip(counts, batch.records, strict=True)
        ]
        known = np.isin(columns.weather_code, self._weather_codes)
        for row in np.flatnonzero(~known):
            outcomes[row] = self._unknown_weather(columns.weather_code[row])
        return outcomes

    def explain(self, record: BikeRecord) -> Mapping[str, object]:
        """The record's features, the model's intermediate values, and the result."""
        columns = columns_of([record])
        given = msgspec.to_builtins(record)
        if not np.isin(columns.weather_code, self._weather_codes).all():
            return {
                "record": given,
                "quarantined": msgspec.to_builtins(self._unknown_weather(columns.weather_code[0])),
            }
        result = self._output(int(self._model.predict(columns)[0]), record.pred_id)
        return {
            "record": given,
            **self._model.steps(columns),
            "partition key": result.partition_key,
            "result": msgspec.json.decode(result.data),
        }

    def _output(self, count: int, pred_id: int | str) -> Output:
        result = BikeResult(self._kind, self._run_id, Prediction(count, pred_id))
        return Output(str(pred_id), self._encode(result))

    def _unknown_weather(self, code: float) -> Quarantine:
        known = ", ".join(f"{each:g}" for each in self._weather_codes)
        return Quarantine("unknown_weather_code", f"{code:g} at `$.features.weather_code`; known are {known}")
