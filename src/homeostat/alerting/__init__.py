"""Rules, signals and the incident state machine."""
