"""From evidence on three simple stories to the causes of a change."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.diagnosis.mechanisms import Departure, Evidence
from homeostat.domain.decision import Cause
from homeostat.stats.special import chi2_sf

_EXPLAINED = 0.3  # share of the move of inputs that a changed mix of labels may leave


@dataclass(frozen=True, slots=True)
class DecisionConfig:
    """How sure to be, and what matters.

    Attributes
    ----------
    level : float
        Chance at which each hypothesis is given up wrongly.
    min_inputs, min_labels : float
        Sizes from which inputs, and labels given inputs, changed by what matters: gaps of means in
        standard deviations, of inputs ``sqrt(pi) (2 AUC - 1)`` if that is more.
    min_mix : float
        Mean change of the classes' log-odds that matters.
    """

    level: float = 0.002
    min_inputs: float = 0.15
    min_labels: float = 0.05
    min_mix: float = 0.1


def decide(
    found: Evidence, config: DecisionConfig, inputs: Departure | None = None
) -> tuple[Cause, ...]:
    """Name the mechanisms that changed, in no order; none if all is as it was.

    Parameters
    ----------
    found : Evidence
        On labelled rows.
    config : DecisionConfig
    inputs : Departure, optional
        On all rows, if more than those with labels.
    """
    moved = _given_up(inputs or found.inputs, config.level, config.min_inputs)
    meaning = _given_up(found.labels, config.level, config.min_labels)
    mix = _given_up(found.mix, config.level, config.min_mix)
    covariate, label, concept = found.strain
    # Label shift moves inputs and meaning together, and both by what the mix of labels says.
    fits = mix and _label_fits(found, config)
    if moved and meaning:
        return (Cause.LABEL_SHIFT,) if fits else _mixture(found, config, mix=mix)
    if moved:
        better = fits and label < covariate
        return (Cause.LABEL_SHIFT,) if better else (Cause.COVARIATE_SHIFT,)
    if meaning:
        better = fits and label < concept
        return (Cause.LABEL_SHIFT,) if better else (Cause.CONCEPT_DRIFT,)
    if not mix:
        return ()
    # The mix of labels moved, too little to show in inputs or meaning: take the story that fits.
    stories = {
        Cause.COVARIATE_SHIFT: covariate,
        Cause.LABEL_SHIFT: label,
        Cause.CONCEPT_DRIFT: concept,
    }
    return (min(stories, key=lambda cause: stories[cause]),)


def _mixture(found: Evidence, config: DecisionConfig, *, mix: bool) -> tuple[Cause, ...]:
    if mix and found.offset.p_value > config.level:
        return (Cause.COVARIATE_SHIFT, Cause.LABEL_SHIFT)
    # Inputs must have moved as a changed mix of labels moves them, and beyond chance.
    expected = chi2_sf(float(found.residuals[0].shape[1]), found.strain[2])
    if expected <= config.level < found.mixed_inputs.p_value:
        return (Cause.LABEL_SHIFT, Cause.CONCEPT_DRIFT)
    return (Cause.COVARIATE_SHIFT, Cause.CONCEPT_DRIFT)


def _label_fits(found: Evidence, config: DecisionConfig) -> bool:
    """Whether inputs for a given label are as they were, or nearly so beside how inputs moved."""
    left = found.by_label
    if left.p_value > config.level:
        return True
    return left.effect < min(config.min_inputs, _EXPLAINED * found.inputs.effect)


def _given_up(departure: Departure, level: float, needed: float) -> bool:
    return departure.p_value <= level and departure.effect >= needed
