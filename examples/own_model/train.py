"""Train a model of bike rides and log it in MLflow, as a model of yours may have been logged."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingRegressor

chance = np.random.default_rng(7)
rows = pd.DataFrame(
    {
        "temperature": chance.normal(12, 6, 3000).round(1),
        "humidity": chance.uniform(30, 100, 3000).round(),
        "hour": chance.integers(0, 24, 3000),
        "weekend": chance.random(3000) < 2 / 7,
    }
)
rides = 400 + 30 * rows["temperature"] - 3 * rows["humidity"] + 200 * np.cos(rows["hour"] - 8) * ~rows["weekend"]
rows.loc[chance.binomial(1, 0.1, 3000) == 1, "humidity"] = np.nan  # a sensor that is silent at times
old, new = slice(0, 2500), slice(2500, 3000)

model = HistGradientBoostingRegressor(random_state=0).fit(rows[old], rides[old])
predicted = model.predict(rows[new])

with mlflow.start_run():
    mlflow.log_metric("test_rmse", float(np.sqrt(np.mean((predicted - rides[new]) ** 2))))
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        input_example=rows[:100],
        registered_model_name="rides",
        serialization_format="cloudpickle",
    )
mlflow.MlflowClient().set_registered_model_alias("rides", "champion", logged.registered_model_version)

# For the stream: new rows as records, a value that is missing left out, and what scikit-learn says of them.
with Path("rows.jsonl").open("w") as file:
    for number, row in enumerate(rows[new].to_dict("records")):
        features = {name: value for name, value in row.items() if not pd.isna(value)}
        file.write(json.dumps({"features": features, "pred_id": number}) + "\n")
Path("expected.json").write_text(json.dumps(predicted.tolist()))
