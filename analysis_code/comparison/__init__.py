"""Compare trained candidates: what was measured, what can be told apart, and which one to take for which purpose.

Reads what the benchmark of each candidate wrote, and writes `comparison.json`, `comparison.csv` and a page. It refuses
to rank by a number that was not measured: a missing value stays missing, everywhere.
"""
