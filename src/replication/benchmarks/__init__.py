"""How fast the routines are: ratios against other ways to the same numbers, measured side by side in one run."""
