"""Why a model does worse or its data look otherwise, by how much, where, and what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

from homeostat.domain.decision import Cause, Diagnosis
from homeostat.domain.text import lines


class Action(StrEnum):
    """What the owner should do."""

    MEND_UPSTREAM = "mend_upstream"
    RETRAIN = "retrain"
    RECALIBRATE = "recalibrate"
    WAIT_FOR_LABELS = "wait_for_labels"
    NOTHING = "nothing"


class FaultKind(StrEnum):
    """In which way data are broken."""

    UNIT = "unit_change"
    SIGN_FLIP = "sign_flip"
    STUCK = "stuck_value"
    NULLS = "missing_values"
    DEFAULT = "default_value"
    RECODED = "recoded_categories"
    SWAPPED = "swapped_columns"
    DUPLICATES = "duplicated_rows"
    TRUNCATED = "truncated_text"
    CLOCK_SHIFT = "clock_shift"
    CONSTANT_SCORE = "constant_score"
    MISSING_COLUMN = "missing_column"
    EXTRA_COLUMN = "extra_column"
    TYPE_CHANGED = "changed_type"


@dataclass(frozen=True, slots=True)
class DataFault:
    """One fault of the current rows.

    Attributes
    ----------
    kind : FaultKind
    columns : tuple of str
        Empty if whole rows are at fault.
    text : str
        What is wrong, for people.
    share : float
        Of the current rows, in [0, 1], that it touches.
    p_value : float
        Of what was seen if nothing were wrong; 0 where that cannot be (an absent column).
    source : str
        ``"vendor=2"`` if only rows with this value of another column are broken.
    factor, offset : float
        ``now = factor * before + offset`` for units and signs; offset in seconds for clocks.
    mapping : tuple of (str, str)
        Categories renamed: before, now.
    """

    kind: FaultKind
    columns: tuple[str, ...]
    text: str
    share: float = 1.0
    p_value: float = 0.0
    source: str = ""
    factor: float = 1.0
    offset: float = 0.0
    mapping: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What one mechanism adds to a change, with its 95 % interval."""

    name: str
    amount: float
    lower: float
    upper: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.lower > 0.0 or self.upper < 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """A mean before and now, and the parts of its change; the parts add up to `total`.

    Attributes
    ----------
    metric : str
    before, now : float
        Means on labelled rows.
    total : Part
    parts : tuple of Part
        ``covariate``, ``label``, ``concept``, ``fault``: those that could be told apart.
    """

    metric: str
    before: float
    now: float
    total: Part
    parts: tuple[Part, ...]

    def __getitem__(self, name: str) -> Part:
        """Return a part by name; one that is not there is 0."""
        for part in self.parts:
            if part.name == name:
                return part
        return Part(name, 0.0, 0.0, 0.0)

    def __str__(self) -> str:
        total = self.total
        span = f"{total.amount:+.4g} [{total.lower:+.4g}, {total.upper:+.4g}]"
        parts = "; ".join(f"{part.name} {part.amount:+.4g}" for part in self.parts)
        return f"{self.before:.4g} before, {self.now:.4g} now, {span}{parts and f': {parts}'}"


@dataclass(frozen=True, slots=True)
class Carrier:
    """A column or a segment, and what it adds to the change of the mean loss."""

    name: str
    amount: float


@dataclass(frozen=True, slots=True)
class Test:
    """Evidence against one explanation: its p-value, and how large the departure is.

    Attributes
    ----------
    name : str
        ``inputs``: they are as they were; ``inputs_by_label``: only the mix of labels changed;
        ``labels_by_input``: labels follow from inputs as they did.
    p_value : float
        Small: it does not hold. NaN: could not be tested.
    effect : float
        Standardised size of the departure.
    """

    name: str
    p_value: float
    effect: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why current rows differ from reference rows, and what to do about it.

    Attributes
    ----------
    cause : Cause
        The main one; ``Cause.NONE`` if nothing that matters changed, ``Cause.UNKNOWN`` if no
        change was found but labels, or rows, were too few to look for all.
    causes : tuple of Cause
        All of them, the main one first; empty if there is none.
    harmful : bool
        Whether the mean loss rose by what matters, beyond chance.
    action : Action
    advice, text : str
        For people: what to do, and why.
    columns : tuple of str
        Columns that carry the cause.
    faults : tuple of DataFault
        A column that was not there before is among them, but is no cause: no model reads it.
    loss : Change or None
        Of the mean loss; None without labels on both sides.
    value : Change or None
        Of the mean value of a prediction, in the owner's money.
    carriers, segments : tuple of Carrier
        Columns, and values of segment columns, largest share of the change first.
    since : datetime or None
        When the change set in, as far as timestamps tell: retrain on rows from there on.
    tests : tuple of Test
    caveats : tuple of str
        What could not be told, and why.
    n_reference, n_current, n_labelled : int
        Rows, and current rows with labels.
    """

    cause: Cause
    causes: tuple[Cause, ...]
    harmful: bool
    action: Action
    advice: str
    text: str
    columns: tuple[str, ...] = ()
    faults: tuple[DataFault, ...] = ()
    loss: Change | None = None
    value: Change | None = None
    carriers: tuple[Carrier, ...] = ()
    segments: tuple[Carrier, ...] = ()
    since: datetime | None = None
    tests: tuple[Test, ...] = ()
    caveats: tuple[str, ...] = ()
    n_reference: int = 0
    n_current: int = 0
    n_labelled: int = 0

    @property
    def retrain(self) -> bool:
        """Whether retraining is advised; never while data are at fault."""
        return self.action is Action.RETRAIN

    @property
    def diagnosis(self) -> Diagnosis:
        """The same as an entry of the decision log."""
        return Diagnosis(self.cause, self.columns, self.advice, self.text, self.retrain)

    def to_dict(self) -> dict[str, object]:
        """Return plain values; what JSON cannot hold is None or text."""
        found = _plain(asdict(self))
        assert isinstance(found, dict)
        return {**found, "retrain": self.retrain}

    def __str__(self) -> str:
        said = [f"{self.cause.value}: {self.text}", f"Advice: {self.advice}"]
        if self.value is not None:
            said.append(f"Value of a prediction: {self.value}")
        return lines([*said, *(f"Note: {caveat}" for caveat in self.caveats)])


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value
