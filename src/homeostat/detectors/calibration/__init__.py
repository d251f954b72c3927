"""Whether probabilities still come true as often as they say."""
