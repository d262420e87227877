"""The report of a run and the page of deviations."""
