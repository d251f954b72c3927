"""Mixed requests while versions fail and routes change; the benchmark `soak` is the long run."""

from pathlib import Path

from soak import soak


def test_every_answer_is_right_and_logged_once_and_nothing_leaks(tmp_path: Path) -> None:
    tally, wrong = soak(tmp_path, requests=3_000, seed=1)
    assert wrong == []
    assert tally.outcomes["good 200"] > 2_000
    assert tally.outcomes["changes"] > 1
