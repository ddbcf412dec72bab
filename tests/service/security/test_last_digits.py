"""The last digits of a number: kept only when the setting asks for them, seen on the board, and never exported."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import expect
from pydantic import ValidationError

from service.settings import Settings
from tests.support.call_histories import saring
from tests.support.keyed_service import keyed
from tests.support.processes import until
from tests.support.store.crashes import locked

NUMBER, SHORT = "+6281234567890", "110"


def digits(service) -> dict[str, str | None]:
    waiting = service.ask("operator", "GET", "/v1/queue").json()["calls"]
    return {call["call_id"]: call["last_digits"] for call in waiting}


def in_store(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_without_the_setting_none_are_kept_whatever_is_sent(tmp_path, release_folder):
    with keyed(tmp_path, release_folder) as service:
        service.ring("a", caller=NUMBER)
        service.ring("b", caller=NUMBER, x_last_digits=NUMBER)
        assert digits(service) == {"a": None, "b": None}
    assert b"7890" not in in_store(tmp_path)


def test_with_the_setting_they_are_on_the_board_and_nothing_more_is_kept(tmp_path, release_folder, browser):
    with keyed(tmp_path, release_folder, last_digits=4) as service:
        service.ring("a", caller="0812-3456-7890")
        service.ring("b", caller=SHORT)
        service.ring("c", caller=None, x_last_digits="1234")
        assert digits(service) == {"a": "7890", "b": None, "c": None}
        assert "7890" not in str(service.ring("d", caller=NUMBER, x_trunk="7"))
        with browser.new_context(base_url=f"http://127.0.0.1:{service.port}", locale="en-GB") as context:
            page = context.new_page()
            page.goto("/console")
            page.locator("#key").fill(service.keys["operator"])
            page.keyboard.press("Enter")
            expect(page.locator("li.row")).to_have_count(4)
            expect(page.locator("li.row").first).to_contain_text("…7890")
            assert NUMBER[1:] not in page.content()
    assert b"4567890" not in in_store(tmp_path)
    database = f"sqlite:///{tmp_path / 'saring.db'}"
    assert saring("rebuild", "--database", database)[0] == 0
    assert saring("export", "--database", database, "--out", tmp_path / "out.parquet")[0] == 0
    exported = pd.read_parquet(tmp_path / "out.parquet")
    assert "x_last_digits" not in exported
    assert exported["x_trunk"].dropna().tolist() == ["7"]


def test_they_come_through_the_journal_and_go_with_the_caller(tmp_path, release_folder):
    with keyed(tmp_path, release_folder, last_digits=3, deadline_ms=200) as service:
        with locked(tmp_path / "saring.db"):
            service.ring("a", caller=NUMBER)
        until(lambda: digits(service) == {"a": "890"})
        until(lambda: service.client.get("/readyz").json().get("journal") == 0)
        over = {"ended_at": datetime.now(UTC).isoformat(), "ended_by": "caller"}
        assert service.ask("intake", "POST", "/v1/calls/a/ended", json=over).is_success
        erased = service.ask("admin", "POST", "/v1/callers/erase", json={"caller": NUMBER, "reason": "asked to"})
        assert erased.status_code == 200, erased.text
        assert digits(service) == {}
    assert b'"x_last_digits"' not in in_store(tmp_path)


@pytest.mark.parametrize("wrong", [-1, 5])
def test_more_than_four_are_refused(wrong):
    with pytest.raises(ValidationError, match="last_digits"):
        Settings(last_digits=wrong)
