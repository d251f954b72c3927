"""Counts over a reference's cells."""

import numpy as np

from homeostat.detectors.cells import count_cells
from homeostat.domain.model import ColumnKind
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.compare import bin_reference
from homeostat.profiles.profile import ColumnProfile


def test_rows_without_a_value_have_the_last_cell() -> None:
    column = profile_numbers(np.array([1.0, 2.0, np.nan, np.inf]), missing=3)
    counts = count_cells(column, bin_reference(column))
    assert counts[-1] == 5
    assert counts.sum() == column.count


def test_unseen_categories_share_the_cell_before() -> None:
    reference = ColumnProfile(ColumnKind.CATEGORICAL, count=3, values={"a": 2, "b": 1})
    current = ColumnProfile(ColumnKind.CATEGORICAL, count=4, missing=1, values={"a": 1, "z": 2})
    assert count_cells(current, bin_reference(reference)).tolist() == [1.0, 0.0, 2.0, 1.0]
