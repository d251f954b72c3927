"""From verdicts to a cause and a remedy."""
