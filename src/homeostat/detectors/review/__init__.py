"""Which predictions a person should label next."""
