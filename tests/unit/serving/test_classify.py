"""What statuses and codes of model servers tell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.serving.breaker import Outcome
from homeostat.serving.classify import Upstream, of_code, of_status

MODEL_SERVERS = [Upstream.KSERVE, Upstream.MLSERVER, Upstream.TRITON, Upstream.MLFLOW]


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("upstream", list(Upstream))
@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "success"),
        (204, "success"),
        (302, "fault"),
        (401, "fault"),
        (403, "fault"),
        (405, "fault"),
        (408, "neutral"),
        (413, "client_error"),
        (415, "client_error"),
        (422, "client_error"),
        (429, "fault"),
        (499, "neutral"),
        (500, "fault"),
        (501, "fault"),
        (503, "fault"),
        (504, "fault"),
    ],
)
def test_statuses_that_all_servers_mean_alike(
    upstream: Upstream, status: int, outcome: str, checked: bool
) -> None:
    assert of_status(upstream, status, checked=checked).value == outcome


@pytest.mark.parametrize("upstream", MODEL_SERVERS)
def test_a_model_that_the_server_does_not_know_is_a_fault(upstream: Upstream) -> None:
    assert of_status(upstream, 404, checked=False) is Outcome.FAULT


def test_a_plain_service_may_not_know_the_entity() -> None:
    assert of_status(Upstream.JSON, 404, checked=True) is Outcome.CLIENT_ERROR


@given(st.sampled_from(Upstream), st.integers(400, 499).filter(lambda s: s not in {408, 429, 499}))
def test_trap_bad_rows_of_a_client_are_never_a_fault(upstream: Upstream, status: int) -> None:
    """What is left is about the gateway's own configuration."""
    outcome = of_status(upstream, status, checked=False)
    ours = {401, 403, 404, 405, 406, 407, 410}
    assert outcome is Outcome.CLIENT_ERROR or status in ours


@pytest.mark.parametrize("code", ["UNKNOWN", "INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_grpc_faults(code: str) -> None:
    assert of_code(code) is Outcome.FAULT
