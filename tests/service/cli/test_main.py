"""The one command, run as a person runs it: in a process of its own, on files."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pandas as pd
import pytest

from model.calls.call_log import read_calls, write_log

COMMAND = [sys.executable, "-m", "service.cli.main"]
ROOT = Path(__file__).parents[3]


def saring(*words: object, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    found = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | environment
    return subprocess.run(
        [*COMMAND, *map(str, words)], cwd=folder, env=found, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory, city) -> Path:
    """A folder with a log as nobody here writes it: other column order, CRLF, a BOM, mixed offsets, extra columns."""
    folder = tmp_path_factory.mktemp("work")
    calls = city.calls.drop(columns=["x_persona"]).assign(x_trunk="7", x_note="said: hello, there")
    offsets = ["+00:00", "+07:00", "-03:30", "Z"]
    for name in calls.columns[calls.dtypes.astype(str).str.startswith("datetime")]:
        column = calls[name]
        texts = [_written(time, offsets[place % 4]) for place, time in enumerate(column)]
        calls[name] = pd.Series(texts, dtype="str")
    text = calls[sorted(calls.columns, reverse=True)].to_csv(index=False, lineterminator="\r\n")
    (folder / "calls.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    write_log(city.corrections, folder / "corrections.parquet")
    return folder


def _written(time: pd.Timestamp, offset: str) -> str | None:
    if pd.isna(time):
        return None
    zone = "UTC" if offset == "Z" else f"UTC{offset}"
    return time.tz_convert(zone).isoformat().replace("+00:00", offset if offset == "Z" else "+00:00")


def test_a_foreign_log_is_checked_trained_on_and_scored(folder, city, run_here):
    checked = saring("check", "calls.csv", "--corrections", "corrections.parquet", folder=folder)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"{len(city.calls):,} calls" in checked.stdout
    read = read_calls(folder / "calls.csv")
    assert read["received_at"].equals(city.calls["received_at"])
    assert read["disposed_at"].equals(city.calls["disposed_at"])
    words = ("--calls", "calls.csv", "--corrections", "corrections.parquet")
    trained = saring("train", *words, "--out", "release", "--params", ROOT / "params.yaml", folder=folder)
    assert (trained.returncode, trained.stderr) == (0, "")
    assert "genuine calls: " in trained.stdout
    assert "kept for the certificate" in trained.stdout
    expected = {"scorecard.json", "policy.json", "certificate.json", "metrics.json", "report.html", "model_card.md"}
    assert {path.name for path in (folder / "release").iterdir()} == expected | {
        "estimator.joblib",
        "fingerprint.json",
        "manifest.json",
    }
    for stage in ("ring", "opening", "ended"):
        run = saring if stage == "ring" else run_here
        scored = run("score", "--release", "release", *words, "--out", "s.parquet", "--stage", stage, folder=folder)
        assert (scored.returncode, scored.stderr) == (0, "")
        scores = pd.read_parquet(folder / "s.parquet")
        assert list(scores) == [
            "call_id", "stage", "prank_likelihood", "band", "defer_factor", "defer_factor_unguarded", "deferral_on",
            "guardrails", "reasons", "genuine_like", "one_in", "badge",
        ]  # fmt: skip
        assert len(scores) == len(city.calls)
        assert scores["prank_likelihood"].between(0, 1).all()
    assert not (folder / "release.part").exists()


def test_a_log_without_corrections_is_trained_on_and_protected_numbers_are_not_deferred(folder, city, run_here):
    trained = run_here("train", "--calls", "calls.csv", "--out", "r2", folder=folder)
    assert trained.returncode == 0, trained.stderr
    number = city.calls["caller"].value_counts().index[0]
    (folder / "protected.txt").write_text(f"{number}\n\n")
    words = ("--release", "r2", "--calls", "calls.csv", "--out", "p.parquet", "--protected", "protected.txt")
    assert run_here("score", *words, folder=folder).returncode == 0
    scores = pd.read_parquet(folder / "p.parquet").set_index("call_id")
    mine = scores.loc[city.calls["call_id"][city.calls["caller"] == number]]
    assert (mine["defer_factor"] == 0).all()
    assert mine["guardrails"].map(lambda names: "protected" in names).all()


def test_a_broken_log_is_listed_in_full_and_nothing_is_written(tmp_path, run_here):
    (tmp_path / "broken.csv").write_text(
        "call_id,received_at,silence_ratio\na,2024-01-01T00:00:00Z,0.5\nb,2024-01-01T00:00:00,1.5\na,yesterday,0.5\n"
    )
    checked = run_here("check", "broken.csv")
    assert checked.returncode == 1
    for told in ("4 problems", "received_at: 2", "silence_ratio: 1", "call_id: 1", "yesterday", "1.5"):
        assert told in checked.stdout
    for words in (("train", "--out", "release"), ("score", "--release", "r", "--out", "s.parquet")):
        failed = run_here(*words, "--calls", "broken.csv")
        assert failed.returncode == 1
        assert failed.stderr.startswith("saring: ")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.csv"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("simulate", "--city", "atlantis", "--out", "x.parquet"), "expected one of bengkulu"),
        (("train", "--calls", "none.csv", "--out", "r"), "there is no such file"),
        (
            ("train", "--calls", "none.csv", "--out", "r", "--until", "2024-01-01"),
            "--until: '2024-01-01', expected a time",
        ),
        (
            ("score", "--release", "none", "--calls", "none.csv", "--out", "s.parquet"),
            "manifest.json: there is no such file",
        ),
        (("serve", "--release", "none"), "manifest.json: there is no such file"),
        (("serve", "--host", "0.0.0.0", "--insecure-local"), "expected a loopback address"),
        (("import", "--calls", "none.csv", "--database", "sqlite:///x.db", "--release", "none"), "manifest.json"),
    ],
)
def test_what_a_person_can_mend_is_told_in_one_sentence(tmp_path, run_here, words, told):
    failed = saring(*words, folder=tmp_path) if words[:2] == ("serve", "--release") else run_here(*words)
    assert failed.returncode == 1
    assert told in failed.stderr
    assert failed.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_simulate_writes_a_log_that_passes_the_check(run_here):
    made = run_here("simulate", "--city", "bengkulu", "--calls", "300", "--seed", "5", "--out", "c.csv")
    assert made.returncode == 0, made.stderr
    checked = run_here("check", "c.csv", "--corrections", "c.corrections.csv")
    assert checked.returncode == 0, checked.stdout


def test_the_serving_process_imports_nothing_that_only_training_needs(tmp_path, release_folder):
    code = (
        "import sys; from pathlib import Path; from service.server.application import create_app, open_parts; "
        "from service.settings import Settings; import service.server.process\n"
        f"s = Settings(release=Path({str(release_folder)!r}), database='sqlite:///x.db', key_file=Path('k'))\n"
        "with open_parts(s) as intake: create_app(intake, s)\n"
        "print(sorted({'sklearn', 'pandas', 'mlflow', 'pyarrow', 'matplotlib', 'joblib'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_import_serve_and_replay_work_together(tmp_path, release_folder, city, run_here, free_port):
    write_log(city.calls[:200], tmp_path / "past.parquet")
    write_log(city.calls[200:230], tmp_path / "later.parquet")
    store = ("--database", "sqlite:///saring.db", "--release", release_folder)
    done = run_here("import", "--calls", "past.parquet", *store)
    assert "200 calls added, 0 were known already" in done.stdout
    assert "0 calls added" in run_here("import", "--calls", "past.parquet", *store).stdout
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment["SARING_DEADLINE_MS"] = "10000"  # two busy cores are no fault of the store
    command = [*COMMAND, "serve", *map(str, store), "--port", str(free_port), "--insecure-local"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert "Serving release" in process.stdout.readline()
            url = f"http://127.0.0.1:{free_port}"
            with httpx.Client(base_url=url, transport=httpx.HTTPTransport(retries=20), timeout=10) as client:
                assert client.get("/readyz").status_code == 200
                told = run_here("replay", "--calls", "later.parquet", "--url", url, "--as-recorded")
                assert "30 calls" in told.stdout, told.stderr
                call = client.get(f"/v1/calls/{city.calls['call_id'][210]}").json()
            assert call["scores"]["opening"]["durable"]
            again = run_here("import", "--calls", "later.parquet", *store)
            assert "is in use by another process" in again.stderr
        finally:
            process.terminate()
    assert process.returncode == 0


def test_an_import_hashes_with_the_key_file_of_the_service_and_with_no_other(
    tmp_path, release_folder, city, run_here, monkeypatch
):
    write_log(city.calls[:3], tmp_path / "past.parquet")
    words = ("import", "--calls", "past.parquet", "--database", "sqlite:///saring.db", "--release", release_folder)
    monkeypatch.setenv("SARING_KEY_FILE", "keys/saring.key")
    (tmp_path / "keys").mkdir()
    assert "3 calls added" in run_here(*words).stdout
    assert (tmp_path / "keys" / "saring.key").is_file()
    assert not (tmp_path / "saring.key").exists()
    monkeypatch.delenv("SARING_KEY_FILE")
    other = run_here(*words)
    assert other.returncode != 0
    assert "expected the key file of the service" in other.stderr
    assert not (tmp_path / "saring.key").exists()
