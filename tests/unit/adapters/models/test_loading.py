"""Choice of the runtime."""

from pathlib import Path

import pytest

from homeostat.adapters.models import load_predictor, save_linear
from homeostat.adapters.models.loading import flavour_of
from homeostat.domain.errors import ArtifactError


def test_unknown_flavour(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match="there are joblib, lightgbm, linear, onnx, remote, skops"
    ):
        load_predictor(tmp_path, "pickle")


def test_flavour_is_told_by_the_files(tmp_path: Path) -> None:
    assert flavour_of(tmp_path) == ""
    save_linear(tmp_path, 0.0, [])
    assert flavour_of(tmp_path) == "linear"
    (tmp_path / "model.txt").write_text("tree")
    assert flavour_of(tmp_path) == "lightgbm"
