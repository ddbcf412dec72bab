"""A release that commit d37fcb8 made (27 November 2026), read by today's code.

`d37fcb8/release.zip` is the folder that it wrote after 20,000 calls of the made-up city "metro" with twelve small trees
a stage; `expected.json` is what its `score_log` said of `calls.csv`, with a deferral that faces a wait of 60 s.
"""

import json
import zipfile
from pathlib import Path

import pytest

from model.calls.call_log import read_calls
from model.policy.deferral import defer_s
from model.release.folder import read_release
from model.release.scored_log import score_log

OLDER = Path(__file__).parent / "d37fcb8"


def twelve_digits(value):
    """Return JSON with the digits that every machine's exponential function gives alike."""
    return json.loads(json.dumps(value), parse_float=lambda text: f"{float(text):.12g}")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("older") / "release"
    zipfile.ZipFile(OLDER / "release.zip").extractall(folder)
    return read_release(folder)


@pytest.mark.parametrize("stage", ["ring", "opening", "ended"])
def test_an_older_release_scores_as_when_it_was_made(release, stage):
    expected = json.loads((OLDER / "expected.json").read_text())[stage]
    settings = release.policy.deferral
    scored = score_log(read_calls(OLDER / "calls.csv"), release, stage)
    assert len(scored) == len(expected)
    for row in scored.to_dict("records"):
        then = expected[row["call_id"]]
        contributions = {reason["feature"]: reason["contribution"] for reason in json.loads(row.pop("reasons"))}
        deferral_s = defer_s(row["defer_factor"], 60.0, False, settings.kappa, settings.base_s, settings.max_defer_s)
        now = row | {"contributions": contributions, "defer_s": deferral_s}
        assert twelve_digits({name: now[name] for name in then}) == twelve_digits(then)
