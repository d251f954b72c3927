"""What predictions are worth: business metrics, configured as expressions over the row."""
