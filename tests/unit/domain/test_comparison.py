import json
import math

import pytest

from homeostat.domain.comparison import (
    ColumnComparison,
    Comparison,
    PairComparison,
    SegmentComparison,
)
from homeostat.domain.errors import NotFoundError
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status

NAN = float("nan")


def column(
    name: str, verdict: Status, score: float = NAN, findings: tuple[str, ...] = ()
) -> ColumnComparison:
    quality = {"findings": findings, "missing_current": 0.25}
    return ColumnComparison(
        name, ColumnKind.NUMERIC, verdict, score, 0.5, {"psi": 0.1}, quality, "why"
    )


COMPARISON = Comparison(
    (
        column("calm", Status.OK, 0.9),
        column("small", Status.DRIFT, 1.5),
        column("gone", Status.ERROR, findings=("absent",)),
        column("big", Status.DRIFT, 7.0),
        column("odd", Status.OK, 0.1, ("infinite values",)),
        column("few", Status.INCONCLUSIVE),
        column("none", Status.NO_DATA),
    ),
    100,
    50,
)


def test_the_share_is_of_the_judged_columns() -> None:
    assert COMPARISON.drifted == ["small", "big"]
    assert COMPARISON.share_drifted == 0.5
    assert COMPARISON.dataset_drift
    nothing = Comparison((), 0, 0)
    assert math.isnan(nothing.share_drifted)
    assert not nothing.dataset_drift


def test_another_tools_rule_may_settle_the_data_set() -> None:
    assert not Comparison(COMPARISON.columns, 100, 50, decided=False).dataset_drift


def test_what_needs_a_look_comes_first() -> None:
    names = [item.name for item in COMPARISON.ranked]
    assert names == ["big", "small", "gone", "odd", "calm", "few", "none"]


def test_findings_name_their_column() -> None:
    assert COMPARISON.findings == ["gone: absent", "odd: infinite values"]
    bare = ColumnComparison("x", None, Status.OK, 0.0, 1.0, {}, {}, "")
    assert bare.findings == ()


def test_without_rows_that_is_all_there_is_to_find() -> None:
    assert Comparison(COMPARISON.columns, 0, 50).findings == ["no rows in the reference"]
    assert Comparison(COMPARISON.columns, 50, 0).findings == ["no rows in the current data"]


def test_plain_values_are_json_without_extensions() -> None:
    odd = {"psi": NAN, "chi2": math.inf}
    said = ColumnComparison("x", None, Status.OK, NAN, NAN, odd, {"mean_current": NAN}, "")
    pair = PairComparison("x", "y", NAN, 0.5, 0.1)
    found = Comparison((said,), 0, 0, pairs=(pair,)).to_dict()
    text = json.dumps(Comparison((), 0, 0).to_dict() | found, allow_nan=False)
    assert json.loads(text)["columns"][0]["statistics"] == {"psi": None, "chi2": None}
    assert Comparison((), 0, 0).to_dict()["share_drifted"] is None


def test_columns_are_had_by_name() -> None:
    assert COMPARISON["big"].drift_score == 7.0
    with pytest.raises(NotFoundError, match="no column 'x'"):
        COMPARISON["x"]


def test_the_table_holds_what_the_columns_say() -> None:
    table = COMPARISON.table
    assert table.num_rows == 7
    assert table.column("missing_reference").null_count == 7
    assert table.column("psi").to_pylist() == [0.1] * 7
    assert Comparison((), 0, 0).table.num_rows == 0


def test_plain_values_hold_no_tuples_and_name_segments_only_where_asked() -> None:
    found = COMPARISON.to_dict()
    assert "segments" not in found
    assert found["columns"][2]["quality"]["findings"] == ["absent"]  # type: ignore[index]
    part = SegmentComparison({"region": "n", "day": "mon"}, COMPARISON)
    assert part.name == "region=n, day=mon"
    whole = Comparison((), 1, 1, segments=(part,), carriers={"big": "in n"}).to_dict()
    assert whole["segments"][0]["drifted"] == ["small", "big"]  # type: ignore[index]
    assert whole["carriers"] == {"big": "in n"}
