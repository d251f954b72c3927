"""Clients of other projects ask the gateway: tritonclient, MLflow's and MLServer's types.

Run in an environment that has them; HOMEOSTAT_SERVER_PYTHON is the one that has Homeostat.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import numpy as np
import pytest

# What other projects warn of is theirs to mend.
pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).parents[2]
ROWS = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
SCORES = 1 / (1 + np.exp(-0.1 * (ROWS[:, 0] - ROWS[:, 1])))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("site")
    python = os.environ.get("HOMEOSTAT_SERVER_PYTHON", str(ROOT / ".venv/bin/python"))
    path = os.pathsep.join(str(ROOT / part) for part in ("src", "client/src"))
    script = ROOT / "tests/peers/protocol_site.py"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [python, str(script), str(folder)],
            env={**os.environ, "PYTHONPATH": path},
            stderr=log,
        )
    try:
        yield _addresses(folder / "log", process)
    finally:
        process.terminate()
        assert process.wait(60) == 0


def _addresses(log: Path, process: subprocess.Popen[bytes]) -> tuple[str, str]:
    for _ in range(600):
        told = log.read_text()
        found = re.search(r"gateway on http://(\S+)/", told), re.search(r"gRPC on (\S+)", told)
        if found[0] and found[1] and "startup complete" in told:
            return found[0][1], found[1][1]
        assert process.poll() is None, told
        Event().wait(0.1)
    raise AssertionError(log.read_text())


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_tritonclient(site: tuple[str, str], transport: str, binary: bool) -> None:
    if transport == "http":
        import tritonclient.http as triton

        client = triton.InferenceServerClient(site[0])
    else:
        import tritonclient.grpc as triton

        client = triton.InferenceServerClient(site[1])
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("fraud")
    assert client.is_model_ready("fraud", "1")
    assert not client.is_model_ready("spam") if transport == "http" else True
    matrix = triton.InferInput("matrix", [3, 2], "FP64")
    more = {"binary_data": binary} if transport == "http" else {}
    matrix.set_data_from_numpy(ROWS, **more)
    wanted = [triton.InferRequestedOutput(name, **more) for name in ("score", "tier")]
    answer = client.infer("fraud", [matrix], outputs=wanted, request_id="r1")
    np.testing.assert_allclose(answer.as_numpy("score"), SCORES)
    tiers = [t.decode() if isinstance(t, bytes) else t for t in answer.as_numpy("tier")]
    assert tiers == ["model"] * 3
    lands, vips = np.array(["de", "fr"], object), np.array([True, False])
    inputs = []
    for name, values, datatype in (
        ("amount", np.array([0, 10], np.int32), "INT32"),
        ("land", lands, "BYTES"),
        ("vip", vips, "BOOL"),
    ):
        tensor = triton.InferInput(name, [2], datatype)
        tensor.set_data_from_numpy(values, **more)
        inputs.append(tensor)
    answer = client.infer("mixed", inputs, parameters={"entity": "anna"})
    np.testing.assert_allclose(answer.as_numpy("score"), SCORES[:2])
    client.close()


def test_tritonclient_knows_our_errors_and_repository(site: tuple[str, str]) -> None:
    from tritonclient import grpc, http
    from tritonclient.utils import InferenceServerException

    for client, triton in (
        (http.InferenceServerClient(site[0]), http),
        (grpc.InferenceServerClient(site[1]), grpc),
    ):
        index = client.get_model_repository_index()
        models = (
            index
            if isinstance(index, list)
            else [{"name": item.name, "state": item.state} for item in index.models]
        )
        assert {(item["name"], item["state"]) for item in models} == {
            ("fraud", "READY"),
            ("mixed", "READY"),
        }
        client.load_model("fraud")
        with pytest.raises(InferenceServerException, match="needs 1"):
            client.unload_model("fraud")
        wrong = triton.InferInput("matrix", [1, 3], "FP64")
        wrong.set_data_from_numpy(np.zeros((1, 3)))
        with pytest.raises(InferenceServerException, match="the model has 2: amount, age"):
            client.infer("fraud", [wrong])
        with pytest.raises(InferenceServerException, match="no model named 'spam'"):
            client.infer("spam", [wrong])
        client.close()


def test_mlflow_scoring_client(site: tuple[str, str]) -> None:
    import pandas as pd
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", int(site[0].rpartition(":")[2]))
    client.ping()
    assert client.get_version()
    client.url_prefix += "/models/fraud"
    frame = pd.DataFrame(ROWS, columns=["amount", "age"])
    answer = client.invoke(frame)
    np.testing.assert_allclose(answer.get_predictions().iloc[:, 0], SCORES)
    with pytest.raises(Exception, match="no such field"):
        client.invoke(frame.rename(columns={"age": "old"}))


def test_mlservers_types(site: tuple[str, str]) -> None:
    import requests
    from mlserver.codecs import NumpyRequestCodec, PandasCodec
    from mlserver.types import (
        InferenceResponse,
        MetadataModelResponse,
        MetadataServerResponse,
        RepositoryIndexResponse,
    )

    base = f"http://{site[0]}/v2"
    MetadataServerResponse.model_validate(requests.get(base, timeout=10).json())
    told = requests.get(f"{base}/models/fraud", timeout=10).json()
    assert MetadataModelResponse.model_validate(told).name == "fraud"
    index = requests.post(f"{base}/repository/index", json={}, timeout=10).json()
    assert len(RepositoryIndexResponse.model_validate(index).root) == 2

    def ask(model: str, request: object) -> InferenceResponse:
        url = f"{base}/models/{model}/infer"
        sent = request.model_dump(mode="json", exclude_none=True)
        return InferenceResponse.model_validate(requests.post(url, json=sent, timeout=10).json())

    response = ask("fraud", NumpyRequestCodec.encode_request(ROWS))
    np.testing.assert_allclose(response.outputs[0].data.root, SCORES)
    import pandas as pd

    lands = pd.Series(["de", "fr"], dtype=object)
    frame = pd.DataFrame({"amount": [0.0, 10.0], "land": lands, "vip": [True, False]})
    response = ask("mixed", PandasCodec.encode_request(frame, use_bytes=False))
    np.testing.assert_allclose(response.outputs[0].data.root, SCORES[:2])
