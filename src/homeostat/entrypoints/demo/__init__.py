"""The demo: eight simulated weeks of card-fraud traffic through the real parts."""
