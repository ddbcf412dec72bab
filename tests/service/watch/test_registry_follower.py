"""A service that follows the registry: another champion, the way back, a broken one, and the challenger in shadow."""

import os
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from model.calls.call_log import write_log
from model.release.folder import read_release
from model.simulation.city import simulate
from service.watch.registry_follower import follow_registry
from tests.support.call_histories import saring
from tests.support.processes import Process, until
from tests.support.registries import QUIET, added, another, registry_in

pytestmark = QUIET
#: A call of the contract, and how soon a service must have followed.
CALL = {"received_at": "2026-01-31T08:15:00+07:00", "caller": "+6281234567890", "duration_s": 4.0}
WITHIN_S = 60.0


def bolder(documents):
    """Raise the intercept of every stage: another model, whose scores differ by a known amount of log-odds."""
    for card in documents["scorecard.json"]["stages"].values():
        card["intercept"] += 1.0


class Load:
    """Scores calls at a steady rate from a thread, and keeps every answer."""

    def __init__(self, url: str, per_s: float, name: str = "load") -> None:
        self._url, self._gap_s, self._name, self._left = url, 1.0 / per_s, name, threading.Event()
        self.answers: list[tuple[int, str, bool]] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30.0) as client:
            due = time.monotonic()
            while not self._left.is_set():
                answer = client.post("/v1/score", json=CALL | {"call_id": f"{self._name} {len(self.answers)}"})
                document = answer.json() if answer.status_code == 200 else {}
                self.answers.append((answer.status_code, document.get("release", ""), document.get("degraded", True)))
                due += self._gap_s
                self._left.wait(max(0.0, due - time.monotonic()))

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()

    def releases(self) -> list[str]:
        """Give the releases that answered, one after the other."""
        names = [name for _, name, _ in self.answers]
        return [name for place, name in enumerate(names) if place == 0 or names[place - 1] != name]

    def failed(self) -> list[tuple[int, str, bool]]:
        return [answer for answer in self.answers if answer[0] != 200 or answer[2]]


@contextmanager
def followed(folder: Path):
    process = Process(folder, "service", None, f"sqlite:///{folder / 'saring.db'}", registry="models:/saring@champion",
                      registry_folder=folder / "copies")  # fmt: skip
    try:
        yield process.ready()
    finally:
        process.stop()


def serves(client: httpx.Client, name: str) -> None:
    until(lambda: client.get("/v1/model").json()["release"] == name, WITHIN_S)


def break_(tracked: Path, release: str) -> None:
    """Change a file of a registered release where the registry keeps it."""
    files = [path for path in tracked.rglob("policy.json") if release in (path.parent / "manifest.json").read_text()]
    assert files
    for path in files:
        path.write_bytes(path.read_bytes() + b" ")


def test_the_service_follows_the_champion_forth_and_back_and_refuses_a_broken_one(tmp_path, release_folder, caplog):
    with registry_in(tmp_path) as registry:
        added(registry, another(release_folder, tmp_path / "one", "release one"))
        with followed(tmp_path) as process, httpx.Client(base_url=process.url, timeout=30.0) as client:
            assert client.get("/v1/model").json()["shadow"] is None
            added(registry, another(release_folder, tmp_path / "two", "release two", bolder))
            with Load(process.url, per_s=20.0) as load:
                # The challenger is scored in shadow, and nobody is told of it.
                def compared():
                    shadow = client.get("/v1/model").json()["shadow"]
                    return shadow if shadow and shadow["stages"].get("opening", {}).get("calls", 0) >= 5 else None

                shadow = until(compared, WITHIN_S)
                assert (shadow["release"], shadow["failed"], shadow["skipped"]) == ("release two", 0, 0)
                assert 0.0 < shadow["stages"]["opening"]["mean_difference"] <= 0.25
                assert load.releases() == ["release one"]
                assert saring("promote", "--force", "a test")[0] == 0
                serves(client, "release two")
                assert saring("rollback", "--because", "a test")[0] == 0
                serves(client, "release one")
                three = added(registry, another(release_folder, tmp_path / "three", "release three", bolder))
                assert three.aliases == ("challenger",)
                break_(tmp_path / "mlruns", "release three")
                status, said = saring("promote", "--force", "its report looks well")
                assert (status, said.endswith("policy.json: was changed after the release was written")) == (1, True)
                # Other hands may move the alias.
                MlflowClient(registry.uri).set_registered_model_alias("saring", "champion", "3")

                def refused():
                    seen = client.get("/v1/model").json()["registry"]["champion"]
                    return seen["refused"] if seen["release"] == "release three" else None

                why = until(refused, WITHIN_S)
                assert why == "version 3/policy.json: was changed after the release was written"
                time.sleep(3.0)
            assert load.failed() == []
            assert load.releases() == ["release one", "release two", "release one"]
            assert {"pandas", "sklearn", "pyarrow"} & loaded(process.process.pid) == set()
        # Broken as the champion is, a service that starts now serves the last copy, and says so.
        with follow_registry("models:/saring@champion", tmp_path / "copies") as champion:
            assert read_release(champion).name == "release one"
            assert "the copy that was served last is served again: the champion" in caplog.text


def loaded(pid: int) -> set[str]:
    """Give the packages whose libraries a process holds."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {part.split("site-packages/")[1].split("/")[0] for part in lines if "site-packages/" in part}


def test_without_a_champion_the_service_does_not_start_and_says_why(tmp_path):
    with registry_in(tmp_path):
        status, said = saring("serve", "--registry", "models:/saring@champion", insecure_local=True,
                              registry_folder=tmp_path / "copies", key_file=tmp_path / "key")  # fmt: skip
        assert (status, "saring has no version champion; there are: none yet" in said) == (1, True)
        status, said = saring("serve", "--registry", "saring@champion", registry_folder=tmp_path / "copies")
        assert (status, "expected an address like models:/saring@champion" in said) == (1, True)


def test_a_registry_and_a_folder_are_not_served_at_once(tmp_path):
    status, said = saring("serve", "--registry", "models:/saring@champion", "--release", tmp_path)
    assert (status, "given together with --release" in said) == (1, True)


def test_the_mirror_that_is_killed_is_started_again(tmp_path, release_folder, monkeypatch):
    monkeypatch.setattr("service.watch.registry_follower.AGAIN_S", 0.1)
    with registry_in(tmp_path) as registry:
        added(registry, another(release_folder, tmp_path / "one", "release one"))
        with follow_registry("models:/saring@champion", tmp_path / "copies") as champion:
            assert champion == tmp_path / "copies" / "champion"
            first = until(_mirrors, WITHIN_S)
            for pid in first:
                os.kill(pid, 9)
            until(lambda: set(_mirrors()) - set(first), WITHIN_S)
        until(lambda: not _mirrors(), WITHIN_S)


def _mirrors() -> list[int]:
    """Give the mirrors that this process started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == os.getpid() and b"service.watch.registry_mirror" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


@contextmanager
def loaded_with(url: str, per_s: float, threads: int = 8):
    """Score calls at a rate from several threads; fails unless every one was scored, at nearly that rate."""
    began = time.monotonic()
    with ExitStack() as stack:
        loads = [stack.enter_context(Load(url, per_s / threads, f"load {place}")) for place in range(threads)]
        yield loads
        took_s = time.monotonic() - began
    assert [load.failed() for load in loads] == [[]] * threads
    assert sum(len(load.answers) for load in loads) / took_s > 0.9 * per_s


@pytest.mark.slow
def test_five_changes_of_champion_at_a_hundred_requests_a_second_fail_none(tmp_path, release_folder):
    with registry_in(tmp_path) as registry:
        added(registry, another(release_folder, tmp_path / "one", "release one"))
        added(registry, another(release_folder, tmp_path / "two", "release two", bolder))
        with followed(tmp_path) as process, httpx.Client(base_url=process.url, timeout=30.0) as client:
            with loaded_with(process.url, per_s=100.0) as loads:
                for turn in range(5):
                    forth = turn % 2 == 0
                    status, said = saring("promote", "2", "--force", "on") if forth else saring("rollback")
                    assert status == 0, said
                    serves(client, "release two" if forth else "release one")
                time.sleep(1.0)
            for load in loads:
                assert load.releases() == ["release one", *["release two", "release one"] * 2, "release two"]


@pytest.mark.slow
@pytest.mark.parametrize(("city", "count"), [("silence", 6_000), ("bengkulu", None)])  # four months, and a year
def test_the_whole_loop_replay_export_retrain_promote_and_back(tmp_path, city, count):
    log = simulate(city, 1, calls=count)
    first, last = log.calls["received_at"].min(), log.calls["received_at"].max()
    early, late = ((first + (last - first) * share).floor("D").isoformat() for share in (0.45, 0.7))
    calls, corrections = tmp_path / "calls.parquet", tmp_path / "calls.corrections.parquet"
    write_log(log.calls, calls)
    write_log(log.corrections, corrections)

    def told(*words: object) -> str:
        status, said = saring(*words)
        assert status == 0, said
        return said

    with registry_in(tmp_path):
        told("train", "--calls", calls, "--corrections", corrections, "--until", early, "--out", tmp_path / "one")
        assert "champion" in told("register", "--release", tmp_path / "one")
        champion = read_release(tmp_path / "one").name
        with followed(tmp_path) as process, httpx.Client(base_url=process.url, timeout=30.0) as client:
            told("replay", "--calls", calls, "--corrections", corrections, "--url", process.url)
            ours, later = tmp_path / "ours.parquet", tmp_path / "ours.corrections.parquet"
            told("export", "--database", f"sqlite:///{tmp_path / 'saring.db'}", "--out", ours)
            told("train", "--calls", ours, "--corrections", later, "--until", late, "--out", tmp_path / "two")
            told("evaluate", "--release", tmp_path / "two", "--calls", ours, "--corrections", later, "--seeds", 2,
                 "--out", tmp_path / "evaluation")  # fmt: skip
            told("register", "--release", tmp_path / "two", "--evaluation", tmp_path / "evaluation")
            challenger = read_release(tmp_path / "two").name
            serves(client, champion)
            with loaded_with(process.url, per_s=100.0) as loads:
                status, said = saring("promote", "--calls", ours, "--corrections", later)
                print(said)
                if status != 0:  # so few genuine callers may differ by more than the margins: a person decides
                    assert "worse" in said
                    print(told("promote", "--force", "a trial"))
                serves(client, challenger)
                print(told("rollback", "--because", "only to see that it works"))
                serves(client, champion)
                time.sleep(1.0)
            for load in loads:
                assert load.releases() == [champion, challenger, champion]
            print(sum(len(load.answers) for load in loads), "requests")
