import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from homeostat.adapters.whylogs import export_whylogs, import_whylogs
from homeostat.domain.errors import UserError
from homeostat.profiles.profile import EMPTY


def test_without_whylogs_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "whylogs", None)
    monkeypatch.delitem(sys.modules, "whylogs.core", raising=False)
    with pytest.raises(UserError, match=r"pip install 'homeostat\[whylogs\]'"):
        import_whylogs(tmp_path / "profile.bin")
    with pytest.raises(UserError, match="whylogs is not installed"):
        export_whylogs(EMPTY, tmp_path / "profile.bin", at=datetime(2024, 1, 1, tzinfo=UTC))
    assert not list(tmp_path.iterdir())
