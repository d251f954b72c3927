"""Why labelled, scored rows differ from reference rows: all of a diagnosis but reading the data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.faults.columns import read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.find import find_suspects
from homeostat.detectors.faults.masses import Found
from homeostat.detectors.faults.mend import Mended, mend
from homeostat.detectors.faults.scored import find_in_predictions
from homeostat.detectors.faults.telling import leave_out_clocks
from homeostat.diagnosis.advice import (
    Remedies,
    advise,
    choose,
    describe,
    judged,
    measure_remedies,
)
from homeostat.diagnosis.carriers import moved_columns, onset, segment_shares, share_out, trace
from homeostat.diagnosis.decide import DecisionConfig, decide
from homeostat.diagnosis.mechanisms import Departure, Evidence, weigh, weigh_inputs
from homeostat.diagnosis.sides import (
    Sides,
    both,
    build_sides,
    days_of,
    loss_name,
    row_loss,
    score_errors,
)
from homeostat.diagnosis.split import add_fault, is_harmful, rank, split_change
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import (
    Action,
    Carrier,
    Change,
    DataFault,
    Explanation,
    FaultKind,
    Test,
)
from homeostat.domain.predictions import Predictions, from_micros
from homeostat.stats.blocks import FEW_BLOCKS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DiagnoseConfig:
    """How sure to be, and what matters.

    Attributes
    ----------
    decision : DecisionConfig
    faults : FaultConfig
    min_rows : int
        Rows, and labelled rows, of a side below which nothing is decided on them.
    max_rows : int
        Rows of a side, and labelled rows of it, that are looked at, drawn at random.
    min_harm : float
        Rise of the mean loss that matters, as a share of what it was.
    min_gain : float
        Share of the squared error that a new model must win to be worth training.
    min_shared : float
        Effective share of rows in the overlap of both sides below which changed meaning cannot be
        told from changed inputs.
    """

    decision: DecisionConfig = field(default_factory=DecisionConfig)
    faults: FaultConfig = field(default_factory=FaultConfig)
    min_rows: int = 60
    max_rows: int = 12_000
    min_harm: float = 0.03
    min_gain: float = 0.02
    min_shared: float = 0.05


DEFAULT = DiagnoseConfig()


def explain(
    before: Predictions,
    now: Predictions,
    rng: np.random.Generator,
    config: DiagnoseConfig = DEFAULT,
    value: tuple[Floats, Floats] | None = None,
) -> Explanation:
    """Name the causes of a change, what they add to it, who carries it, and what to do.

    Parameters
    ----------
    before, now : Predictions
        Of the same task and classes; current labels may be missing in part or all. With timestamps
        rows of a day may have an effect in common, as large as days of the reference show; without
        them rows are taken as independent, which is among the caveats.
    rng : Generator
        The same seed gives the same result.
    config : DiagnoseConfig
    value : tuple of ndarray of float64, optional
        What each prediction was worth, before and now, NaN where not known.
    """
    one, two, clocks = leave_out_clocks(
        *read_pair(before.features, now.features),
        (before.timestamps, now.timestamps),
        config.faults,
    )
    columns = one, two
    found = find_in_predictions(before, now, columns, config.faults)
    case = _Case(
        before, now, mend(*columns, found, (len(before), len(now))), found, value, config, rng
    )
    case.judge()
    suspects = find_suspects(*columns, found, config.faults)
    if suspects and {Cause.CONCEPT_DRIFT, Cause.LABEL_SHIFT} & set(case.causes):
        both = (*found, *suspects)
        other = _Case(
            before, now, mend(*columns, both, (len(before), len(now))), both, value, config, rng
        )
        other.judge()
        # Labels follow from inputs as they did once the units are put right.
        if set(other.causes) <= {Cause.DATA_FAULT}:
            case = other
    case.caveats.extend(clocks)
    return case.conclude()


@dataclass(slots=True)
class _Case:
    """Two sides without the faults found, to be told apart."""

    before: Predictions
    now: Predictions
    mended: Mended
    found: Sequence[Found]
    value: tuple[Floats, Floats] | None
    config: DiagnoseConfig
    rng: np.random.Generator
    caveats: list[str] = field(default_factory=list)
    causes: tuple[Cause, ...] = ()
    rows: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None
    known: Sides | None = None
    evidence: Evidence | None = None
    inputs: Departure | None = None

    def judge(self) -> None:
        """Weigh the evidence and name the causes."""
        labelled = self._draw(labelled=True)
        partly = any(
            int(np.count_nonzero(mended)) > int(np.count_nonzero(mended & known))
            for mended, known in zip(self._sound, self._known, strict=True)
        )
        sides = self._sides(self._draw(labelled=False) if partly else labelled)
        self._say_days()
        if self._broken:
            self.causes = (Cause.DATA_FAULT,)
        least = self.config.min_rows
        if min(len(sides.before), len(sides.now)) < least:
            self.caveats.append(
                f"fewer than {least} rows on a side: only faults of the data were looked for"
            )
            return
        self._say_labels(*(at.size for at in labelled))
        if min(at.size for at in labelled) < least:
            moved = self.inputs = weigh_inputs(sides, self.rng)
            level, needed = self.config.decision.level, self.config.decision.min_inputs
            if moved.p_value <= level and moved.effect >= needed:
                self.causes = (*self.causes, Cause.COVARIATE_SHIFT)
            return
        known = self._sides(labelled) if partly else sides
        self.rows, self.known, self.evidence = labelled, known, weigh(known, self.rng)
        self.inputs = weigh_inputs(sides, self.rng) if partly else self.evidence.inputs
        causes = decide(self.evidence, self.config.decision, self.inputs)
        if self.evidence.weights.shared < self.config.min_shared:
            self.caveats.append("the sides share hardly any rows: changed meaning cannot be told")
            causes = (Cause.COVARIATE_SHIFT,)
        self.causes = (*self.causes, *causes)

    def conclude(self) -> Explanation:
        """Measure what the causes do, and advise."""
        if self.known is None or self.evidence is None or self.rows is None:
            return self._without_labels()
        return self._with_labels(self.rows, self.known, self.evidence)

    @property
    def _sound(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        return self.mended.rows_before, self.mended.rows_now

    @property
    def _known(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which rows have a label and a loss."""
        return ~np.isnan(row_loss(self.before)), ~np.isnan(row_loss(self.now))

    @property
    def _days(self) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        return both(days_of(self.before), days_of(self.now))

    def _say_days(self) -> None:
        """Say what is taken for granted of effects that rows of a day have in common."""
        if self._days is None:
            self.caveats.append(
                "no timestamps: rows are taken as independent, and what a day does by itself may "
                "pass for a change"
            )
        elif (seen := np.unique(self._days[0]).size) < FEW_BLOCKS:
            self.caveats.append(
                f"reference rows of {seen} days: how days differ by themselves is assumed, not seen"
            )

    def _draw(self, *, labelled: bool) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Draw the rows to look at: all are drawn from, or only those with labels."""
        drawn = []
        for sound, known in zip(self._sound, self._known, strict=True):
            places = np.flatnonzero(sound & known if labelled else sound)
            if places.size > self.config.max_rows:
                places = np.sort(self.rng.choice(places, self.config.max_rows, replace=False))
            drawn.append(places)
        return drawn[0], drawn[1]

    def _sides(self, rows: tuple[NDArray[np.intp], NDArray[np.intp]]) -> Sides:
        columns = tuple(
            {name: values.take(at) for name, values in side.items()}
            for side, at in zip((self.mended.before, self.mended.now), rows, strict=True)
        )
        return build_sides(
            self.before.take(rows[0]),
            self.now.take(rows[1]),
            (columns[0], columns[1]),
            scores=self.mended.scored,
        )

    def _say_labels(self, before: int, now: int) -> None:
        """Say how many rows have labels, and how many of them were looked at."""
        known, rows = int(np.count_nonzero(self.now.known)), len(self.now)
        least = self.config.min_rows
        if min(before, now) < least:
            self.caveats.append(
                f"{before:,} reference and {now:,} current rows with labels, {least} are "
                "needed: whether labels or their meaning changed cannot be told"
            )
        elif known < rows:
            self.caveats.append(
                f"{known:,} of {rows:,} current rows ({known / rows:.2g}) have labels, {now:,} of "
                "them were looked at: what is said of labels and losses holds if these rows are "
                "like the others"
            )

    def _without_labels(self) -> Explanation:
        faults, broken = tuple(item.fault for item in self.found), self._broken
        causes, inputs = self.causes, self.inputs
        action = Action.MEND_UPSTREAM if broken else Action.WAIT_FOR_LABELS
        said = describe(causes, faults, None, harmful=False)
        return Explanation(
            cause=causes[0] if causes else Cause.UNKNOWN,
            causes=causes,
            harmful=False,
            action=action,
            advice=advise(action, causes, broken, harmful=False, since=None),
            text=f"{said} {judged(inputs=inputs is not None)}",
            columns=_columns(broken),
            faults=faults,
            tests=() if inputs is None else (Test("inputs", inputs.p_value, inputs.effect),),
            caveats=self._notes(),
            n_reference=len(self.before),
            n_current=len(self.now),
            n_labelled=int(np.count_nonzero(self.now.known)),
        )

    def _with_labels(
        self,
        rows: tuple[NDArray[np.intp], NDArray[np.intp]],
        known: Sides,
        evidence: Evidence,
    ) -> Explanation:
        inputs, causes = self.inputs or evidence.inputs, self.causes
        faults, broken = tuple(item.fault for item in self.found), self._broken
        losses = known.before.loss, known.now.loss
        loss = split_change(loss_name(self.before), losses, known, evidence, causes, self.rng)
        loss = self._with_broken(loss, row_loss(self.before), row_loss(self.now))
        harmful = is_harmful(loss, self.config.min_harm)
        causes = rank(causes, loss)
        errors = score_errors(self.before, rows[0]), score_errors(self.now, rows[1])
        remedies = measure_remedies(known, evidence, errors, self.rng) if causes else _NONE
        action = choose(
            causes,
            harmful=harmful,
            constant=evidence.offset.p_value > self.config.decision.level,
            remedies=remedies,
            min_gain=self.config.min_gain,
        )
        since = self._since(rows[1], evidence, causes) if causes else None
        main = causes[0] if causes else Cause.NONE
        told = next((c for c in causes if c is not Cause.DATA_FAULT), None)
        part = loss["concept" if told is Cause.CONCEPT_DRIFT else "covariate"].amount
        carriers = share_out(known, evidence, told, part, self.rng) if told else ()
        moved = moved_columns(known, evidence, told) if told else ()
        return Explanation(
            cause=main,
            causes=causes,
            harmful=harmful,
            action=action,
            advice=advise(action, causes, broken, harmful=harmful, since=since),
            text=describe(causes, faults, loss, harmful=harmful),
            columns=_columns(broken) or moved,
            faults=faults,
            loss=loss,
            value=self._value(rows, known, evidence, causes),
            carriers=carriers,
            segments=self._segments(rows, losses) if causes else (),
            since=since,
            tests=(
                Test("inputs", inputs.p_value, inputs.effect),
                Test("inputs_by_label", evidence.by_label.p_value, evidence.by_label.effect),
                Test("labels_by_input", evidence.labels.p_value, evidence.labels.effect),
            ),
            caveats=self._notes(),
            n_reference=len(self.before),
            n_current=len(self.now),
            n_labelled=int(np.count_nonzero(self.now.known)),
        )

    @property
    def _broken(self) -> tuple[DataFault, ...]:
        """Return faults that do harm: what no model reads does none."""
        faults = (item.fault for item in self.found)
        return tuple(fault for fault in faults if fault.kind is not FaultKind.EXTRA_COLUMN)

    def _value(
        self,
        labelled: tuple[NDArray[np.intp], ...],
        known: Sides,
        evidence: Evidence,
        causes: tuple[Cause, ...],
    ) -> Change | None:
        if self.value is None:
            return None
        amounts = [side[at] for side, at in zip(self.value, labelled, strict=True)]
        if any(bool(np.isnan(side).any()) for side in amounts):
            self.caveats.append("some labelled rows have no value: the change of value is not told")
            return None
        pair = amounts[0], amounts[1]
        change = split_change("value", pair, known, evidence, causes, self.rng)
        return self._with_broken(change, *self.value)

    def _with_broken(self, change: Change, before: Floats, now: Floats) -> Change:
        """Add the rows that were left out as broken: the rest of the change is the fault's."""
        partly = any(item.fault.share < 1.0 for item in self.found) and self.mended.scored
        if not partly:
            return change
        return add_fault(change, (before, now), self._sound, self._days)

    def _segments(
        self, labelled: tuple[NDArray[np.intp], ...], losses: tuple[Floats, Floats]
    ) -> tuple[Carrier, ...]:
        tables = [rows.segments for rows in (self.before, self.now)]
        columns = self.mended.before, self.mended.now
        if tables[0] is not None and tables[1] is not None and tables[0].num_columns:
            columns = read_pair(tables[0], tables[1])
        sides = [
            {name: values.take(at) for name, values in side.items()}
            for side, at in zip(columns, labelled, strict=True)
        ]
        names = tuple(name for name in sides[0] if name in sides[1])
        return segment_shares((sides[0], sides[1]), losses, names)

    def _since(
        self,
        labelled: NDArray[np.intp],
        evidence: Evidence,
        causes: tuple[Cause, ...],
    ) -> datetime | None:
        if self.now.timestamps is None or Cause.DATA_FAULT in causes:
            return None
        times = self.now.timestamps[labelled]
        before, now = trace(evidence, causes[0])
        return from_micros(onset(now, times, float(before.mean())))

    def _notes(self) -> tuple[str, ...]:
        return (*self.caveats, *self.before.problems, *self.now.problems)


_NONE = Remedies(0.0, 0.0, sure=False)


def _columns(faults: Sequence[DataFault]) -> tuple[str, ...]:
    names = (name for fault in faults for name in fault.columns)
    return tuple(dict.fromkeys(names))
