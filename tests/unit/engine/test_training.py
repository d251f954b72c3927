from datetime import UTC, datetime, timedelta

import pyarrow as pa

from homeostat.domain.model import ColumnKind
from homeostat.domain.window import Window
from homeostat.engine.training import one_each
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def profile(rows: int) -> Profile:
    return profile_table(pa.table({"x": [1.0] * rows}), {"x": ColumnKind.NUMERIC})


def test_of_a_window_in_which_two_stretches_meet_the_fuller_profile_stays() -> None:
    hours = [Window(START + i * HOUR, START + (i + 1) * HOUR) for i in range(3)]
    trained = [(hours[0], profile(9)), (hours[1], profile(4))]
    for rows in (3, 5):
        kept = one_each([*trained, (hours[1], profile(rows)), (hours[2], profile(8))])
        assert [window for window, _ in kept] == hours
        assert [found.rows for _, found in kept] == [9, max(4, rows), 8]
