"""A release that is replaced while the service runs."""

import json
import shutil

import pytest

from model.release.folder import MANIFEST, write_release
from tests.support.processes import until

CALL = {"call_id": "a", "received_at": "2026-01-31T08:15:00+07:00", "caller": "+6281234567890", "duration_s": 4.0}


@pytest.fixture
def served(serving, tmp_path, release_folder):
    folder = tmp_path / "release"
    shutil.copytree(release_folder, folder)
    with serving(tmp_path, folder) as client:
        yield client, folder


def files_of(folder) -> dict:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}


def release_of(client) -> str:
    return client.get("/v1/model").json()["release"]


def test_a_new_release_takes_over_without_one_failed_request(served, made):
    client, folder = served
    before = client.post("/v1/score", json=CALL).json()
    facts = json.loads((folder / MANIFEST).read_bytes())
    facts = {name: value for name, value in facts.items() if name not in ("files", "format")} | {"release": "the next"}
    write_release(folder, files_of(folder), facts)
    asked = 0
    while release_of(client) != "the next":
        answer = client.post("/v1/score", json=CALL | {"call_id": f"b{asked}"})
        assert (answer.status_code, answer.json()["degraded"]) == (200, False)
        asked += 1
    after = client.post("/v1/score", json=CALL | {"call_id": "c"}).json()
    assert (before["release"] != after["release"], after["release"]) == (True, "the next")
    assert 'saring_release_info{release="the next"} 1.0' in client.get("/metrics").text


@pytest.mark.parametrize("how", ["half-written", "changed", "another mapping"])
def test_a_release_that_is_not_whole_is_refused_and_the_old_one_goes_on(served, caplog, how):
    client, folder = served
    name = release_of(client)
    manifest = json.loads((folder / MANIFEST).read_bytes())
    if how == "half-written":
        (folder / "policy.json").unlink()
    elif how == "changed":
        (folder / "policy.json").write_bytes((folder / "policy.json").read_bytes() + b" ")
    else:
        manifest["labels"] = manifest["labels"] | {"silent": 0}
    (folder / MANIFEST).write_text(json.dumps(manifest | {"release": "the next"}))
    until(lambda: "a new release is refused" in caplog.text, 20.0)
    assert release_of(client) == name
    assert client.post("/v1/score", json=CALL).json()["release"] == name
