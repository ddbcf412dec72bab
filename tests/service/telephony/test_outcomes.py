"""`saring dispose` tells what a CAD exported: late, corrected, and of calls that nobody has heard of."""

from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from model.errors import SaringError
from service.cli.main import app


@pytest.fixture
def dispose(service, tmp_path, monkeypatch):
    monkeypatch.setenv("SARING_KEY", service.keys["intake"])

    def dispose(rows: list[str], *more: str, url: str | None = None) -> str:
        (tmp_path / "cad.csv").write_text("\n".join(["Incident,Result,Closed", *rows]) + "\n")
        (tmp_path / "map.toml").write_text(
            '[columns]\ncall_id = "Incident"\ndisposition = "Result"\ndisposed_at = "Closed"\n'
            '[values.disposition]\nE = "genuine"\nP = "prank"\n'
        )
        words = ["dispose", "--csv", str(tmp_path / "cad.csv"), "--map", str(tmp_path / "map.toml")]
        words += ["--outbox", str(tmp_path / "outbox"), "--url", url or service.url, *more]
        return CliRunner().invoke(app, words, catch_exceptions=False).output

    return dispose


def closed(minutes_ago: float) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes_ago)).isoformat()


def test_the_last_outcome_holds_in_whatever_order_they_stand(service, dispose):
    service.ring("cad 1", datetime.now(UTC) - timedelta(minutes=9), caller="+628131000401")
    said = dispose([f"cad 1,E,{closed(2)}", f"cad 1,P,{closed(5)}"])
    assert "2 outcomes told;" in said
    assert service.known("cad 1")["disposition"] == "genuine"
    # Told twice, it is the same.
    dispose([f"cad 1,E,{closed(2)}", f"cad 1,P,{closed(5)}"])
    assert service.known("cad 1")["disposition"] == "genuine"


def test_a_call_that_nobody_has_heard_of_is_named(service, dispose):
    service.ring("cad 2", datetime.now(UTC) - timedelta(minutes=9), caller="+628131000402")
    with pytest.raises(SaringError, match=r"1 outcome refused, of calls 'cad nowhere'"):
        dispose([f"cad nowhere,E,{closed(2)}", f"cad 2,P,{closed(2)}"])
    assert service.known("cad 2")["disposition"] == "prank"


def test_without_the_service_outcomes_are_kept_and_told_later(service, dispose):
    service.ring("cad 3", datetime.now(UTC) - timedelta(minutes=9), caller="+628131000403")
    assert "until the service takes them: 1" in dispose([f"cad 3,E,{closed(2)}"], url="http://127.0.0.1:9")
    assert service.known("cad 3")["disposition"] is None
    dispose([f"cad 3,E,{closed(2)}"])
    assert service.known("cad 3")["disposition"] == "genuine"


def test_a_broken_file_is_refused_whole(service, dispose):
    service.ring("cad 4", datetime.now(UTC) - timedelta(minutes=9), caller="+628131000404")
    assert "line 3         maybe" in dispose([f"cad 4,E,{closed(2)}", f"cad 4,maybe,{closed(1)}"])
    assert service.known("cad 4")["disposition"] is None
