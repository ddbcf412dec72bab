"""A log that is replayed tells everything, also to a service whose disk was slow for a moment."""

import httpx
import pandas as pd
import pytest

from model.errors import ReplayError
from service.playback import log_replay
from service.playback.log_replay import replay, steps
from tests.support.fake_service import CALL, answer_to, listening, reply, replying

CALLS = pd.DataFrame(
    {
        "call_id": [CALL["call_id"]],
        "received_at": pd.to_datetime([CALL["received_at"]], format="ISO8601", utc=True),
        "duration_s": [4.0],
        "disposition": ["prank"],
        "disposed_at": pd.to_datetime([CALL["received_at"]], format="ISO8601", utc=True) + pd.Timedelta(minutes=5),
    }
)


def test_what_is_not_durable_is_told_again_until_it_is():
    paths: list[str] = []

    def answer(path, body):
        paths.append(path)
        if path == "/v1/score":
            return reply(answer_to(path, body) | {"durable": paths.count(path) > 2})
        return reply({"title": "Service Unavailable"}, 503) if paths.count(path) < 3 else reply(answer_to(path, body))

    told = []
    with listening(replying(answer)) as (_, url), httpx.Client(base_url=url) as client:
        replay(steps(CALLS), client, as_recorded=True, told=lambda step, answer: told.append(answer))
    assert [paths.count(path) for path in sorted(set(paths))] == [3, 3]
    assert [answer["durable"] for answer in told] == [True, True]


def test_a_service_that_never_keeps_anything_ends_the_replay(monkeypatch):
    monkeypatch.setattr(log_replay, "PATIENCE_S", 0.2)
    never = replying(lambda path, body: reply(answer_to(path, body) | {"durable": False}))
    with (
        listening(never) as (_, url),
        httpx.Client(base_url=url) as client,
        pytest.raises(ReplayError, match=r"/v1/score for call .*durable"),
    ):
        replay(steps(CALLS), client, as_recorded=True)
