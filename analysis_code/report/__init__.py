"""The page of a run, and the numbers behind it: from what the steps left, nothing invented."""
