"""Rows from files into the prediction log: backfills, labels, tables of served requests."""
