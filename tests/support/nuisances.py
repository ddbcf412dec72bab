"""A number that is known for pranks, and the calls by which it became so."""

from datetime import UTC, datetime, timedelta

NUISANCE = "+6281234567890"


def ago(**how_long) -> str:
    """Give the moment so long ago, as requests say it."""
    return (datetime.now(UTC) - timedelta(**how_long)).isoformat()


def told_as_prank(client, caller=NUISANCE, calls=12) -> None:
    """Let a number ring every two hours up to yesterday, each call closed as a prank."""
    clock = {"Saring-Clock": "as-recorded"}
    for place in range(calls):
        hours = 24 + 2 * (calls - place)
        call_id = f"earlier {caller} {place}"
        known = {"call_id": call_id, "received_at": ago(hours=hours), "caller": caller, "line": "mobile"}
        client.post("/v1/score", json=known | {"duration_s": 3.0, "silence_ratio": 0.3}, headers=clock)
        client.post(
            f"/v1/calls/{call_id}/ended", json={"ended_at": ago(hours=hours - 0.1), "duration_s": 6.0}, headers=clock
        )
        closed = {"disposition": "prank", "disposed_at": ago(hours=hours - 0.2)}
        assert client.post(f"/v1/calls/{call_id}/disposition", json=closed, headers=clock).json()["durable"]


def nuisance(call_id: str, **more) -> dict:
    """Give the request to score one more call of that number, now."""
    heard = {"duration_s": 3.0, "silence_ratio": 0.3}
    return {"call_id": call_id, "received_at": ago(), "caller": NUISANCE, "line": "mobile"} | heard | more
