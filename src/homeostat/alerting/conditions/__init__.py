"""What alert rules look at: verdicts of monitors, or figures of a series."""
