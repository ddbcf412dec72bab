"""The scorecards of a release as MLflow's own kind of model: a row of the feature table in, a likelihood out.

This file is copied into the model and run from there ("models from code"); the numbers come from the release's plain
JSON. It needs numpy, pandas and MLflow and nothing of this house, so that a server or a Spark cluster scores without
having it installed: what `model.scorecard.scorecard` does in one compiled step is said once more here, and a test
holds that both give the same.
"""

import json
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd

#: Where a release lies among a model's artifacts.
RELEASE = "release"


class ScorecardModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Scores rows of the feature table.

    The column names are those of docs/features.md; a value that is not known is null or NaN. The parameter `stage`
    (ring, opening or ended) says which scorecard is asked, by default that of the opening, which decides the queue.
    """

    def load_context(self, context: Any) -> None:
        """Read the scorecards."""
        text = (Path(context.artifacts[RELEASE]) / "scorecard.json").read_text(encoding="utf-8")
        self._stages: dict[str, Any] = json.loads(text)["stages"]

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return `prank_likelihood` of each row, before any guardrail; columns of a later stage may be absent.

        `params` may name the `stage`.
        """
        stage = (params or {}).get("stage", "opening")
        if stage not in self._stages:
            raise ValueError(f"stage: {stage!r}, expected one of {', '.join(self._stages)}")
        card = self._stages[stage]
        total = np.zeros(len(model_input))

        def step(name: str, edges: list[float]) -> Any:
            """Find the step of each value, which reaches up to and with its upper edge; unknown is after the last."""
            if name not in model_input:
                raise ValueError(f"{name}: no such column, but the stage {stage} knows it")
            values = model_input[name].to_numpy(np.float64, na_value=np.nan)
            found = np.searchsorted(np.array(edges, dtype=np.float64), values, side="left")
            return np.where(np.isnan(values), len(edges) + 1, found.clip(max=len(edges)))

        for feature in card["features"]:
            terms = [one["contribution"] for one in feature["steps"]]
            edges = [one["up_to"] for one in feature["steps"][:-1]]
            total += np.array([*terms, feature["missing"]["contribution"]])[step(feature["name"], edges)]
        for pair in card.get("pairs", []):
            first, second = (step(name, edges) for name, edges in zip(pair["names"], pair["up_to"], strict=True))
            total += np.array(pair["contributions"])[first, second]
        with np.errstate(over="ignore"):
            likelihood = 1.0 / (1.0 + np.exp(-(card["intercept"] + total)))
        return pd.DataFrame({"prank_likelihood": likelihood})


mlflow.models.set_model(ScorecardModel())
