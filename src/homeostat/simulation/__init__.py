"""Simulated time, fakes of every port and the suites that fakes and real adapters pass."""
