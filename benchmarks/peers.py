"""What the service is measured against over HTTP: an empty endpoint, and models served without all that it does.

Run as `python -m benchmarks.peers PORT ANSWER RELEASE {empty,predict}`, the first two are services of their own.
"""

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import uvicorn
from fastapi import FastAPI
from mlflow.pyfunc import save_model

from model.scorecard.features import FEATURES, WIDTHS
from service.contract.answers import ScoreResponse
from service.contract.requests import ScoreRequest
from service.server.process import OPTIONS

STAGE = "opening"
NAMES = [feature.name for feature in FEATURES[: WIDTHS[STAGE]]]
DURATION, SILENCE = NAMES.index("opening_duration_s"), NAMES.index("opening_silence_ratio")


def empty(answer: dict[str, Any]) -> FastAPI:
    """Make an app that reads a call and gives the same whole answer to each: FastAPI checks both, and that is all."""
    app = FastAPI()

    @app.post("/v1/score", response_model=ScoreResponse)
    async def score(request: ScoreRequest) -> Any:
        return answer

    return app


def predict(answer: dict[str, Any], release: Path) -> FastAPI:
    """Make an app that puts a call into a row and asks the release's estimator: no history, no reasons, no storage."""
    estimator = joblib.load(release / "estimator.joblib")[STAGE]
    app = FastAPI()

    @app.post("/v1/score", response_model=ScoreResponse)
    async def score(request: ScoreRequest) -> Any:
        row = np.zeros((1, WIDTHS[STAGE]))
        row[0, DURATION], row[0, SILENCE] = request.duration_s or np.nan, request.silence_ratio or np.nan
        return answer | {"prank_likelihood": float(estimator.predict_proba(row)[0, 1])}

    return app


class Estimator:
    """The release's estimator as MLflow serves it; mlflow.sklearn does not take a HistGradientBoosting model."""

    def __init__(self, path: Path) -> None:
        self._estimator = joblib.load(path)[STAGE]

    def predict(self, rows: pd.DataFrame) -> Any:
        """Return the probability of each row."""
        return self._estimator.predict_proba(rows.to_numpy())[:, 1]


def _load_pyfunc(path: str) -> Estimator:
    """Load what `save_for_mlflow` wrote; MLflow looks for this name."""
    return Estimator(Path(path))


def save_for_mlflow(release: Path, folder: Path) -> None:
    """Write the estimator as an MLflow model, for the environment that is already there."""
    save_model(
        str(folder),
        loader_module=__name__,
        data_path=str(release / "estimator.joblib"),
        pip_requirements=["scikit-learn"],
    )


def example_row() -> str:
    """Return the body of a request to `mlflow models serve`: one row of the feature table."""
    row = [0.0] * len(NAMES)
    row[DURATION], row[SILENCE] = 9.5, 0.8
    return json.dumps({"dataframe_split": {"columns": NAMES, "data": [row]}})


def main() -> None:
    port, answer_file, release, kind = sys.argv[1:]
    answer = json.loads(Path(answer_file).read_bytes())
    app = empty(answer) if kind == "empty" else predict(answer, Path(release))
    # The same server as the service's own, without what that adds to it.
    uvicorn.run(app, **OPTIONS | {"http": "h11", "loop": "uvloop", "host": "127.0.0.1", "port": int(port)})


if __name__ == "__main__":
    main()
