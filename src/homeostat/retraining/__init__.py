"""When to retrain, the run, and the gate that a candidate has to pass."""
