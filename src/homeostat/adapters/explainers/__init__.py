"""What each column adds to a model's answers (Shapley values)."""

from homeostat.adapters.explainers.explainer import Explainer, attributions, explainer_of
from homeostat.adapters.explainers.sampled import SampledExplainer

__all__ = ["Explainer", "SampledExplainer", "attributions", "explainer_of"]
