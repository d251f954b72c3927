"""Windows, losses and counts judged: ``fit`` on a reference, ``evaluate`` to verdicts."""
