from datetime import UTC, datetime, timedelta
from pathlib import Path

from homeostat.adapters.clock import SystemClock


def test_system_clock_tells_utc_and_never_runs_backwards(tmp_path: Path) -> None:
    clock = SystemClock()
    touched = datetime.fromtimestamp(tmp_path.stat().st_mtime, UTC)
    assert abs(clock.now() - touched) < timedelta(minutes=1)
    first = clock.monotonic()
    assert clock.monotonic() >= first
