"""A training as a run of MLflow, and the release as a model that others can serve."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from model.calls.call_events import events_of, sort_calls
from model.calls.call_log import write_log
from model.errors import RegistryError
from model.release.folder import read_release
from model.release.mlflow_flavour import ScorecardModel
from model.release.registry import Registry
from model.release.scored_log import score_log
from model.scorecard.feature_table import FeatureTable
from model.scorecard.features import FEATURES, NAMES, STAGES, WIDTHS
from model.scorecard.pairs import Pair
from model.scorecard.scorecard import Scorecard
from tests.support.call_histories import saring
from tests.support.registries import QUIET, added, another, registry_in

pytestmark = QUIET


@pytest.fixture(scope="module")
def tracked(tmp_path_factory, release_folder):
    """A registry in which the release of the tests was registered, with an evaluation beside it."""
    folder = tmp_path_factory.mktemp("tracked")
    evaluation = folder / "evaluation"
    evaluation.mkdir()
    for name in ("metrics.json", "report.html"):
        (evaluation / name).write_bytes((release_folder / name).read_bytes())
    (evaluation / "headline.json").write_text("{}")
    with registry_in(folder) as registry:
        status, said = saring("register", "--release", release_folder, "--evaluation", evaluation)
        assert status == 0, said
        yield registry, said


@pytest.fixture(scope="module")
def table(city, release):
    """Features of the city's calls, many of which lack a value, and their scores."""
    calls = sort_calls(city.calls)
    events = events_of(calls, release.labels, release.numbering, city.corrections)
    return pd.DataFrame(FeatureTable(calls, events, release.time_zone).matrix(), columns=list(NAMES))


def test_a_run_has_what_a_data_scientist_asks_for(tracked, release, release_folder):
    registry, said = tracked
    assert f"{release.name}: version 1 of saring in {registry.uri}, champion" in said
    client = MlflowClient(registry.uri)
    run = client.get_run(registry.find("champion").run_id)
    assert run.data.params["boosting.max_iter"] == "200"
    assert run.data.params["labels.silent"] == "1"
    metrics = json.loads((release_folder / "metrics.json").read_bytes())
    for stage in STAGES:
        assert run.data.metrics[f"later/{stage}/auc"] == metrics["stages"][stage]["auc"]
    waits = metrics["slices"]["no_hang_ups_0.95"]["silent"]
    assert run.data.metrics["certify/slices/silent/wait_ratio"] == waits["wait_ratio"]
    assert run.data.tags["data_fingerprint"] == release.manifest["data"]["fingerprint"]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert run.data.tags.get("git_revision", "") == head.stdout.strip()
    assert run.data.tags["package.numpy"] == np.__version__
    paths = [item.path for item in client.list_artifacts(run.info.run_id)]
    assert {"evaluation", "packages.txt", "release"} <= set(paths)
    for name in ("report.html", "model_card.md"):
        got = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=f"release/{name}",
                                                  tracking_uri=registry.uri)  # fmt: skip
        assert Path(got).read_bytes() == (release_folder / name).read_bytes()


def test_registering_the_same_release_again_writes_nothing(tracked, release_folder):
    registry, _ = tracked
    before = registry.versions()
    status, said = saring("register", "--release", release_folder)
    assert (status, "stands there already" in said, registry.versions()) == (0, True, before)


def test_the_model_scores_as_the_scorecards_do_with_values_missing(tracked, table, release):
    loaded = mlflow.pyfunc.load_model("models:/saring@champion")
    assert table.isna().any().sum() > 5
    for stage in STAGES:
        names = list(NAMES[: WIDTHS[stage]])
        card = release.scorecards[stage]
        ours = 1 / (1 + np.exp(-card.log_odds(card.contributions(table[names].to_numpy(), names))))
        said = loaded.predict(table[names], params={"stage": stage})["prank_likelihood"]
        assert np.abs(said - ours).max() < 1e-12
    nothing = pd.DataFrame([dict.fromkeys(NAMES, np.nan)])
    assert 0.0 < loaded.predict(nothing)["prank_likelihood"][0] < 1.0
    with pytest.raises(mlflow.exceptions.MlflowException, match="calls_1h"):
        loaded.predict(table.drop(columns="calls_1h"))
    with pytest.raises(ValueError, match="opening_duration_s: no such column"):
        loaded.predict(table.drop(columns="opening_duration_s"))


def test_the_model_adds_what_pairs_of_features_say(table, release, tmp_path):
    alone = release.scorecards["opening"]
    edges = np.array([5.0, 9.0]), np.array([0.5])
    pair = Pair(("opening_duration_s", "opening_silence_ratio"), edges, np.arange(12.0).reshape(4, 3), np.zeros((4, 3)))
    card = Scorecard("opening", alone.intercept, alone.steps, [pair])
    (tmp_path / "scorecard.json").write_text(json.dumps({"stages": {"opening": card.to_json()}}))
    model = ScorecardModel()
    model.load_context(SimpleNamespace(artifacts={"release": str(tmp_path)}))
    names = list(card.features)
    ours = 1 / (1 + np.exp(-card.log_odds(card.contributions(table[names].to_numpy(), names))))
    assert np.abs(model.predict(None, table)["prank_likelihood"] - ours).max() < 1e-12


def test_nothing_of_the_model_is_pickled(tracked, tmp_path):
    registry, _ = tracked
    model = mlflow.artifacts.download_artifacts("models:/saring@champion", dst_path=str(tmp_path))
    config = (Path(model) / "MLmodel").read_text()
    assert "model_code_path" in config, config
    pickles = [path.name for path in Path(model).rglob("*") if path.suffix in (".pkl", ".joblib", ".pickle")]
    assert pickles == ["estimator.joblib"]  # of the release, which nothing opens
    registry.fetch(registry.find("champion"), tmp_path)
    assert read_release(tmp_path / "release").name == registry.find("champion").release


def test_a_release_that_is_not_whole_is_not_registered(release_folder, tmp_path, monkeypatch):
    broken = another(release_folder, tmp_path / "release", "broken")
    (broken / "policy.json").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    status, said = saring("register", "--release", broken)
    assert (status, "policy.json: is missing" in said) == (1, True)
    assert not (tmp_path / "none.db").exists()


def test_a_store_of_another_version_is_told_in_one_sentence(tmp_path):
    with registry_in(tmp_path) as registry:
        with sqlite3.connect(tmp_path / "mlflow.db") as tables:
            tables.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        with pytest.raises(RegistryError, match=r"mlflow\.db: its tables are those of another version of MLflow"):
            registry.versions()
        (tmp_path / "mlflow.db").write_text("no database" * 100)
        with pytest.raises(RegistryError, match=r"file is not a database$"):
            Registry(uri=f"{registry.uri}?text").versions()


@pytest.mark.parametrize("place", ["http://127.0.0.1:{}", "postgresql://me:secret@127.0.0.1:{}/mlflow"])
def test_a_store_out_of_reach_is_told_in_one_sentence_and_not_tried_for_minutes(place, free_port, monkeypatch):
    for name in ("MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RegistryError, match=r"out of reach: .*Connection refused$") as told:
        Registry(uri=place.format(free_port)).versions()
    assert "secret" not in str(told.value)
    assert "MLFLOW_HTTP_REQUEST_TIMEOUT" not in os.environ


def test_a_store_that_does_not_answer_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("model.release.registry.PATIENCE_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(RegistryError, match=r"reach: timed out$"):
        Registry(uri=f"http://127.0.0.1:{silent.getsockname()[1]}").versions()


def test_champion_challenger_promotion_and_the_way_back(tmp_path, release_folder):
    with registry_in(tmp_path) as registry:
        assert saring("releases")[1].endswith("saring register adds a release\n")
        for number in (1, 2, 3):
            added(registry, another(release_folder, tmp_path / f"r{number}", f"release {number}"))
        assert [one.aliases for one in registry.versions()] == [("challenger",), (), ("champion",)]
        status, said = saring("promote")
        assert (status, "--calls: a call log is needed" in said) == (1, True), said
        assert registry.find("champion").number == 1
        assert saring("promote", "--force", " ")[0] == 1
        assert saring("promote", "7")[1].startswith(f"{registry.uri}: saring has no version 7; there are: 3 (challen")
        status, said = saring("promote", "--force", "a fault in release 1")
        assert (status, "release 3) is the champion: forced: a fault in release 1" in said) == (0, True)
        assert saring("promote", "2", "--force", "on trial")[0] == 0
        assert saring("promote", "2", "--force", "again")[1].startswith("version 2 (release 2) is the champion alr")
        tags = registry.find("2").tags
        assert (tags["promotion_forced"], tags["promoted_over"]) == ("true", "3")
        assert tags["promoted_because"].startswith("forced: on trial. The gate: --calls")
        status, said = saring("rollback", "--because", "operators complain")
        again = "version 3 (release 3) is the champion again, instead of 2: operators complain\n"
        assert (status, said) == (0, again)
        assert saring("rollback")[0] == 0
        assert registry.find("champion").number == 1
        status, said = saring("rollback")
        assert (status, "is the first champion: none came before it" in said) == (1, True)
        assert saring("promote", "3", "--force", "once more")[0] == 0
        assert saring("rollback")[0] == 0
        assert registry.find("champion").number == 1
        listed = saring("releases")[1]
        assert "operators complain" in listed
        assert "forced: once more" in listed


def _service_scores(serving, folder, release_folder, city) -> pd.DataFrame:
    """Tell a service some calls, and give what it answered at the opening, by call_id."""
    answers = {}
    with serving(folder, release_folder) as client:
        for row in sort_calls(city.calls).head(300).to_dict("records"):
            said = {"call_id": row["call_id"], "received_at": row["received_at"].isoformat(), "stage": "opening"}
            said |= {name: row[name] for name in ("caller", "line") if isinstance(row[name], str)}
            heard = {"duration_s": row["opening_duration_s"], "silence_ratio": row["opening_silence_ratio"]}
            said |= {name: value for name, value in heard.items() if value == value}
            answer = client.post("/v1/score", json=said).json()
            values = {reason["feature"]: _number(reason["feature"], reason["value"]) for reason in answer["reasons"]}
            answers[row["call_id"]] = values | {"said": answer["prank_likelihood"]}
    return pd.DataFrame.from_dict(answers, orient="index")


def _number(name: str, value: object) -> float:
    """Return a value of a reason as the feature table has it; words stand for codes there."""
    words = FEATURES[NAMES.index(name)].words
    return float("nan") if value is None else float(words.index(value)) if words else value


def _asked(url: str, rows: pd.DataFrame) -> np.ndarray:
    split = {"columns": list(rows.columns), "data": [[None if v != v else v for v in row] for row in rows.to_numpy()]}
    answer = httpx.post(f"{url}/invocations", json={"dataframe_split": split}, timeout=60.0)
    assert answer.status_code == 200, answer.text
    return np.array([row["prank_likelihood"] for row in answer.json()["predictions"]])


def test_mlflow_serves_the_same_scores_as_the_service(tracked, serving, tmp_path, release_folder, city, free_port):
    registry, _ = tracked
    ours = _service_scores(serving, tmp_path, release_folder, city)
    assert len(ours) == 300
    rows = ours.reindex(columns=list(NAMES[: WIDTHS["opening"]])).astype(np.float64)
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/saring@champion", "--env-manager"]
    environment = os.environ | {"MLFLOW_TRACKING_URI": registry.uri, "PYTHONWARNINGS": "ignore"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls uvicorn by name
    with (tmp_path / "mlflow.log").open("wb") as log:
        served = subprocess.Popen([*command, "local", "-p", str(free_port), "-h", "127.0.0.1"], env=environment,
                                  stdout=log, stderr=log, start_new_session=True)  # fmt: skip
    url = f"http://127.0.0.1:{free_port}"
    try:
        for _ in range(600):
            assert served.poll() is None, (tmp_path / "mlflow.log").read_text()
            try:
                if httpx.get(f"{url}/ping").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.1)
        assert np.abs(_asked(url, rows) - ours["said"].to_numpy()).max() < 1e-9
    finally:
        os.killpg(served.pid, 15)
        served.wait()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Spark's and pandas' own, of one another
def test_spark_scores_a_batch_as_saring_score_does(tracked, table, city, release, tmp_path, monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    why = "needs Spark: `.venv/bin/python -m pip install pyspark==4.3.0`, and a Java 17 or newer"
    sql = pytest.importorskip("pyspark.sql", reason=why)
    if subprocess.run(["sh", "-c", "command -v java"], capture_output=True).returncode:
        pytest.skip(why)
    ours = score_log(city.calls, release, "opening", city.corrections)
    write_log(table.assign(call_id=ours["call_id"].to_numpy()), tmp_path / "table.parquet")
    spark = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    try:
        scored = mlflow.pyfunc.spark_udf(spark, "models:/saring@champion", "double", env_manager="local")
        rows = spark.read.parquet(str(tmp_path / "table.parquet"))
        columns = [one.name for one in FEATURES]
        found = rows.select("call_id", scored(sql.functions.struct(*columns)).alias("said")).toPandas()
    finally:
        spark.stop()
    both = ours.merge(found, on="call_id", validate="1:1")
    assert len(both) == len(ours)
    assert (both["said"] - both["prank_likelihood"]).abs().max() < 1e-9
