import json
import shutil
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from model.certification.certificate import GroupProof
from model.errors import ReleaseError
from model.release.folder import read_release, to_bytes, write_release
from model.scorecard.features import ACTING_STAGES, STAGES
from service.queue.deferral_gate import DeferralGate
from service.queue.operations import Operations

FILES = {"scorecard.json", "policy.json", "certificate.json", "metrics.json", "estimator.joblib"}


@pytest.fixture
def folder(release_folder, tmp_path):
    """A copy of a whole release, to be broken."""
    return shutil.copytree(release_folder, tmp_path / "release")


def alter(folder, name, change):
    """Change a JSON file and have the manifest agree, as somebody who edits a release by hand would."""
    path, manifest = folder / name, json.loads((folder / "manifest.json").read_bytes())
    document = json.loads(path.read_bytes()) if name != "manifest.json" else manifest
    change(document)
    path.write_text(json.dumps(document))
    if name != "manifest.json":
        manifest["files"][name] = sha256(path.read_bytes()).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))


def everything_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_release_is_read_as_it_was_made(made, release):
    assert set(release.scorecards) == set(STAGES)
    for stage in STAGES:
        assert release.scorecards[stage].to_json() == made.scorecards[stage].to_json()
    assert release.policy.to_json() == made.policy.to_json()
    assert release.certificate == made.certificate
    assert (release.time_zone, release.region) == ("Asia/Jakarta", "ID")
    assert release.labels == made.params.labels
    assert release.proof("ended") is None
    assert release.proof("ring") is made.certificate.stages[0] or release.proof("ring") == made.certificate.stages[0]
    assert release.name == release.manifest["release"]


def test_the_manifest_holds_the_hash_of_every_other_file_and_where_it_came_from(release_folder):
    manifest = json.loads((release_folder / "manifest.json").read_bytes())
    assert {path.name for path in release_folder.iterdir()} == {*manifest["files"], "manifest.json"}
    assert set(manifest["files"]) >= FILES
    for name, digest in manifest["files"].items():
        assert sha256((release_folder / name).read_bytes()).hexdigest() == digest
    for fact in ("format", "release", "until", "time_zone", "region", "labels", "history_version", "data", "packages"):
        assert manifest[fact]
    times = [(path.stat().st_mtime_ns, path.name) for path in release_folder.iterdir()]
    assert max(times)[1] == "manifest.json"


def test_a_certificate_of_another_scorecard_policy_or_setting_is_void(folder):
    """Whoever edits a release by hand, hashes and all, has no proof of what it does then."""
    made = read_release(folder)
    assert made.fingerprint == made.certificate.fingerprint
    for name, change in (
        ("policy.json", lambda policy: policy["deferral"].update(max_defer_s=120.0)),
        ("scorecard.json", lambda cards: cards["stages"]["ring"].update(intercept=0.5)),
        ("manifest.json", lambda manifest: manifest["params"].update(region="GB")),
    ):
        altered = folder.with_name(name)
        shutil.copytree(folder, altered)
        alter(altered, name, change)
        state = DeferralGate(read_release(altered), Operations()).certificate_state(made.certificate.issued_at)
        assert (state.word, state.reason) == ("void", "release_changed")


def test_a_call_of_a_group_that_is_not_proven_is_not_deferred_and_others_are(acting_release):
    release = read_release(acting_release)
    group = GroupProof("no_number", 30, 0.04, 0.3, deferred=False)
    stages = tuple(
        replace(stage, deferral=replace(stage.deferral, groups=(group,))) for stage in release.certificate.stages
    )
    gate = DeferralGate(replace(release, certificate=replace(release.certificate, stages=stages)), Operations())
    now = release.certificate.issued_at
    for stage in ACTING_STAGES:
        assert gate.allowed_actions(stage, now, ["redial"]).defers
        assert not gate.allowed_actions(stage, now, ["redial", "no_number"]).defers
    assert gate.is_on(now)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_changed_byte_is_refused_by_the_name_of_its_file(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(ReleaseError, match=f"{name}: was changed"):
        read_release(folder)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_refused_by_its_name(folder, name):
    (folder / name).unlink()
    with pytest.raises(ReleaseError, match=f"{name}: is missing"):
        read_release(folder)


def test_a_folder_without_a_manifest_is_not_a_release(folder, tmp_path):
    (folder / "manifest.json").unlink()
    for no_release in (folder, tmp_path / "nowhere", folder / "scorecard.json"):
        with pytest.raises(ReleaseError, match=r"manifest\.json"):
            read_release(no_release)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"{}", b'{"format": 1}', b"\xff", b'{"format": NaN}'])
def test_a_manifest_that_was_not_written_to_its_end_is_refused(folder, content):
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(ReleaseError, match="release"):
        read_release(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda manifest: manifest.update(format=2), "format 2, this version reads 1"),
        (lambda manifest: manifest.update(history_version="0"), "history version 0, this version keeps 1"),
        (lambda manifest: manifest["files"].pop("policy.json"), "policy.json: is not named in manifest.json"),
        (lambda manifest: manifest.update(files=[]), "is not as this version writes it"),
        (lambda manifest: manifest.pop("time_zone"), "time_zone"),
        (lambda manifest: manifest.pop("history_version"), "history_version"),
    ],
)
def test_a_manifest_of_another_version_is_refused(folder, change, told):
    alter(folder, "manifest.json", change)
    with pytest.raises(ReleaseError, match=told):
        read_release(folder)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("scorecard.json", lambda cards: cards["stages"].pop("ring")),
        ("scorecard.json", lambda cards: cards["stages"]["ring"]["features"].pop()),
        ("scorecard.json", lambda cards: cards["stages"]["ring"]["features"].reverse()),
        ("scorecard.json", lambda cards: cards["stages"]["ring"].update(intercept=float("nan"))),
        ("scorecard.json", lambda cards: cards["stages"]["ring"].update(intercept=None)),
        ("scorecard.json", lambda cards: cards["stages"]["ring"]["features"][0].update(steps=[])),
        ("scorecard.json", lambda cards: cards["stages"]["ring"]["features"][0]["missing"].update(share=None)),
        ("policy.json", lambda policy: policy["guardrails"].pop("surge")),
        ("policy.json", lambda policy: policy["guardrails"]["surge"].update(cap=None)),
        ("policy.json", lambda policy: policy["curves"]["ring"].update(scale=2.0)),
        ("policy.json", lambda policy: policy["curves"].pop("opening")),
        ("policy.json", lambda policy: policy.update(deferral={"speed": 1})),
    ],
)
def test_a_file_that_is_not_as_this_version_writes_it_is_one_clear_error(folder, name, change):
    alter(folder, name, change)
    with pytest.raises(ReleaseError, match="release"):
        read_release(folder)


def test_writing_over_a_folder_that_is_no_release_is_refused_and_leaves_it_untouched(tmp_path):
    folder, file = tmp_path / "thesis", tmp_path / "notes.txt"
    folder.mkdir()
    (folder / "chapter.txt").write_text("years of work")
    file.write_text("more of it")
    for mine in (folder, file):
        with pytest.raises(ReleaseError, match="exists and is not a release"):
            write_release(mine, {"a.json": b"{}"}, {})
    assert everything_in(folder) == {"chapter.txt": b"years of work"}
    assert file.read_text() == "more of it"
    assert {path.name for path in tmp_path.iterdir()} == {"thesis", "notes.txt"}


def test_writing_over_an_earlier_release_replaces_it_whole_and_touches_nothing_beside_it(folder, tmp_path):
    for name in ("release.old", "release.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "kept.txt").write_text("somebody's own copy")
    write_release(folder, {"a.json": b"{}"}, {"release": "second"})
    assert set(everything_in(folder)) == {"a.json", "manifest.json"}
    assert json.loads((folder / "manifest.json").read_bytes())["release"] == "second"
    assert {path.name for path in tmp_path.iterdir()} == {"release", "release.old", "release.part"}
    assert (tmp_path / "release.old" / "kept.txt").exists()


def test_an_empty_folder_or_none_at_all_becomes_a_release(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "some" / "where" / "new"):
        write_release(folder, {"a.json": b"{}"}, {})
        assert set(everything_in(folder)) == {"a.json", "manifest.json"}


def test_a_release_that_cannot_be_written_leaves_the_earlier_one_and_nothing_else(folder, tmp_path):
    before = everything_in(folder)
    with pytest.raises(ValueError, match="JSON compliant"):
        write_release(folder, {"a.json": b"{}"}, {"share": float("nan")})
    with pytest.raises(OSError, match="directory"):
        write_release(folder, {"no such folder/a.json": b"{}"}, {})
    assert everything_in(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["release"]
    assert read_release(folder).name


def test_a_float_is_written_to_its_last_bit():
    numbers = np.random.default_rng(1).random(1_000).tolist()
    assert json.loads(to_bytes(numbers)) == numbers
