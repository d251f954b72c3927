"""The evaluation gate: losses first, then what else a candidate must not be worse in."""

from homeostat.retraining.gate.paired import Floats, GateResult, evaluate

__all__ = ["Floats", "GateResult", "evaluate"]
