"""A number that rings for the first time while it is erased: nothing is stored of it that could be locked."""

import random
import threading
import time
from datetime import UTC, datetime

import httpx

from tests.support.processes import processes
from tests.support.walk.centre import Reply

TRIES = 100


def ring(line: httpx.Client, said: dict, after_s: float, answers: list[Reply]) -> None:
    time.sleep(after_s)
    answer = line.post("/v1/score", json=said)
    answers.append(Reply(answer.status_code, answer.json()))


def test_a_first_ring_while_its_number_is_erased_is_kept_or_keeps_the_number(
    postgres_server, postgres, tmp_path, release_folder
):
    draw, statuses, kept = random.Random(1), set(), []
    with (
        processes(1, tmp_path, release_folder, postgres) as (service,),
        httpx.Client(base_url=service.url, timeout=30.0) as client,
        httpx.Client(base_url=service.url, timeout=30.0) as line,
    ):
        for number in range(TRIES):
            caller, call_id = f"+62815{number:07}", f"call {number}"
            said = {"call_id": call_id, "received_at": datetime.now(UTC).isoformat(), "caller": caller}
            answers: list[Reply] = []

            ringing = threading.Thread(target=ring, args=(line, said, draw.uniform(0.0, 0.01), answers))
            ringing.start()
            erased = client.post("/v1/callers/erase", json={"caller": caller, "reason": "asked for it"})
            ringing.join()
            statuses.add(erased.status_code)
            if answers[0].durable:
                kept.append(call_id)
        board = [call["call_id"] for call in client.get("/v1/queue").json()["calls"]]
    assert statuses <= {200, 409}
    assert len(kept) > TRIES / 2
    assert sorted(board) == sorted(kept)
    database = postgres.rsplit("/", 1)[1]
    stored = postgres_server.run(database, "SELECT DISTINCT call_id FROM calls JOIN events USING (call_id)")
    assert sorted(call_id for (call_id,) in stored) == sorted(kept)
