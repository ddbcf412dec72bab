"""Calls that take place, the erasure of a caller, and what is left of one in a folder."""

from pathlib import Path

import httpx

from service.security.pseudonyms import Pseudonyms, read_keys

NUMBER, OTHER = "+6281234567890", "+6281298765432"
NAMED = "asked for by the caller"


def call(call_id: str, number: str | None = NUMBER, minute: int = 0, **more: object) -> dict[str, object]:
    """Give a request to score, so many minutes after eight."""
    at = f"2026-01-31T{8 + minute // 60:02}:{minute % 60:02}:00+07:00"
    return {"call_id": call_id, "received_at": at, "caller": number, "line": "mobile"} | more


def take_place(
    client: httpx.Client, call_id: str, number: str | None = NUMBER, minute: int = 0, *, whole: bool = True
) -> None:
    """Let a call take place with all that can be said of one, or only its ring."""
    recorded = {"Saring-Clock": "as-recorded"}
    said = call(call_id, number, minute)
    over = said["received_at"].replace(":00+", ":50+")
    assert client.post("/v1/score", json=said, headers=recorded).status_code == 200
    if not whole:
        return
    heard = said | {"duration_s": 9.5, "silence_ratio": 0.7, "x_note": f"note of {call_id}"}
    assert client.post("/v1/score", json=heard, headers=recorded).status_code == 200
    for path, told in (
        ("answered", {"answered_at": said["received_at"], "operator": "rina"}),
        ("ended", {"ended_at": over, "duration_s": 31.0, "silence_ratio": 0.4}),
        ("disposition", {"disposition": "prank", "disposed_at": over}),
        ("disposition", {"disposition": "genuine", "category": "fire", "disposed_at": over}),
    ):
        answer = client.post(f"/v1/calls/{call_id}/{path}", json=told, headers=recorded)
        assert answer.status_code == 200, answer.text


def everything(folder: Path) -> bytes:
    """Give all bytes of all files, but for the key file."""
    return b"".join(
        path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and "key" not in path.name
    )


def traces(folder: Path, ids: list[str], number: str = NUMBER) -> list[bytes]:
    """Give what of a caller can be found in any file."""
    keys = Pseudonyms(read_keys(folder / "saring.key"))
    kept = everything(folder)
    hashes = [keys.hash(number), *keys.others(number)]
    told = [number, number[1:], number[3:], f"0{number[3:]}", *ids]
    forms = [one[4:] for one in hashes] + [one[4:].hex().encode() for one in hashes] + [one.encode() for one in told]
    return [form for form in forms if form in kept]


def erase(client: httpx.Client, number: str = NUMBER, reason: str = NAMED) -> httpx.Response:
    """Ask for a caller to be erased."""
    return client.post("/v1/callers/erase", json={"caller": number, "reason": reason})
