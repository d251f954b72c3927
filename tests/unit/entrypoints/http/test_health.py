"""What load balancers ask, without a token."""

from pathlib import Path

from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.http.health import health
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW


def test_a_server_is_ready_while_its_records_answer(tmp_path: Path) -> None:
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SimulatedClock(NOW))
    Tokens(records).create("somebody", [Scope.READ], NOW)
    caller = Caller(Starlette(routes=health(records)), "http://example.org", "192.0.2.1")
    assert caller.get("/health/live").json() == {"live": True}
    assert caller.get("/health/ready").json() == {"ready": True}
    records.close()
    (tmp_path / "records.db").unlink()
    (tmp_path / "records.db").mkdir()
    answer = caller.get("/health/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False})
    assert answer.headers["retry-after"] == "5"
    assert caller.get("/health/live").status_code == 200
