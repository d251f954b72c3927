"""Three processes' logs on one root, in any order of what they may do, against a set."""

import json
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.erase import Target, erase
from homeostat.adapters.predlog.verify import verify
from homeostat.domain.columns import floats
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, predictions
from unit.adapters.predlog.test_log import ids, opened

WHO = st.integers(0, 2)
SCORES = (0.25, 0.75)


def refused(log: FilePredictionLog) -> dict[str, set[float]]:
    """Return the scores of the refused rows of each id."""
    found = dict[str, set[float]]()
    for entry in log.quarantined(SPEC.name):
        row = json.loads(entry.row)
        found.setdefault(row["prediction_id"], set()).add(row["score"])
    return found


class ThreeLogs(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.logs = [opened(self.folder) for _ in range(3)]
        self.made, self.now = 0, NOW
        # Of each id the scores that were acknowledged, by two processes maybe.
        self.there: dict[str, set[float]] = {}

    @rule(who=WHO, rows=st.integers(1, 3))
    def append(self, who: int, rows: int) -> None:
        fresh = [f"{number:03}" for number in range(self.made, self.made + rows)]
        self.made += rows
        assert self.logs[who].append(SPEC, predictions(fresh)).accepted == rows
        self.there |= {name: {SCORES[0]} for name in fresh}

    @precondition(lambda self: self.there)
    @rule(who=WHO, score=st.sampled_from(SCORES), data=st.data())
    def append_again(self, who: int, score: float, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(sorted(self.there)))
        if self.logs[who].append(SPEC, predictions([row], score=score)).accepted:
            self.there[row].add(score)

    @rule(who=WHO)
    def read(self, who: int) -> None:
        log = self.logs[who]
        assert sorted(ids(log)) == sorted(self.there)
        assert log.status().predictions == len(self.there)

    @rule(who=WHO)
    def roll(self, who: int) -> None:
        self.logs[who].roll(self.now)

    @rule(who=WHO, eager=st.booleans())
    def tidy(self, who: int, eager: bool) -> None:
        self.logs[who].tidy(self.now, eager=eager)

    @rule(who=WHO)
    def close(self, who: int) -> None:
        self.logs[who].close()

    @rule(who=WHO)
    def reopen(self, who: int) -> None:
        self.logs[who].close()
        self.logs[who] = opened(self.folder)

    @precondition(lambda self: self.there)
    @rule(who=WHO, data=st.data())
    def erase(self, who: int, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(sorted(self.there)))
        done = erase(
            self.logs[who], SPEC, Target(False, (row,)), "me", self.now, self.folder / "log"
        )
        assert done.predictions == 1
        del self.there[row]
        assert row not in refused(self.logs[who])

    @rule()
    def wait(self) -> None:
        self.now += timedelta(minutes=20)

    def teardown(self) -> None:
        try:
            logs: list[FilePredictionLog] = [*self.logs, opened(self.folder)]
            for log in logs:
                assert sorted(ids(log)) == sorted(self.there)
            logs[0].roll(self.now)
            for log in logs:
                assert sorted(ids(log)) == sorted(self.there)
            table, kept = logs[0].rows(SPEC, ALL), refused(logs[0])
            for name, score in zip(ids(logs[0]), floats(table, "score"), strict=True):
                assert self.there[name] - {score} <= kept.get(name, set())
            assert verify(logs[0].upkeep).problems == ()
            assert logs[0].profile(SPEC, ALL).rows >= len(self.there)
        finally:
            shutil.rmtree(self.folder)


TestThreeLogs = ThreeLogs.TestCase
TestThreeLogs.settings = settings(
    max_examples=12,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # shrinking opens too many logs
)
