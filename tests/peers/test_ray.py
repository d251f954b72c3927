"""Jobs on a real Ray against this process.

Ray is not among the development packages; in an environment of its own::

    python -m venv .venv-ray && .venv-ray/bin/pip install ray pytest -e . -e client
    PYTHONPATH=src:tests .venv-ray/bin/python -m pytest -m peers tests/peers/test_ray.py
"""

from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import homeostat as hs
from deployed import MONDAY, NOW, deploy
from homeostat.domain.errors import DataError
from homeostat.domain.window import Window
from homeostat.entrypoints.logged import LogWindow
from homeostat.profiles.format import to_bytes

pytestmark = pytest.mark.peers


def test_ray_gives_the_bytes_of_one_process(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    config = deploy(tmp_path, 120)
    window = LogWindow("fraud", Window(MONDAY, MONDAY + timedelta(days=3)), config=config)
    assert to_bytes(hs.profile(window, engine="ray")) == to_bytes(hs.profile(window))
    mine, theirs = (hs.evaluate(window, as_of=NOW, engine=engine) for engine in ("ray", "local"))
    assert mine == theirs
    for number in range(20):
        rows = pa.table({"x": [number * 1.5, None], "y": [[1], [2]]})
        pq.write_table(rows, tmp_path / f"{number}.parquet")
    (tmp_path / "files").mkdir()
    kinds = {"y": "ignore"}
    for path in tmp_path.glob("*.parquet"):
        path.rename(tmp_path / "files" / path.name)
    found = hs.profile(tmp_path / "files", kinds=kinds, engine="ray")
    assert to_bytes(found) == to_bytes(hs.profile(tmp_path / "files", kinds=kinds))
    with pytest.raises(DataError, match="column 'y' as numeric"):
        hs.profile(tmp_path / "files", kinds={"y": "numeric"}, engine="ray")
