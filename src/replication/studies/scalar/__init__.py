"""The experiments of the paper on scalar networks: figures 2 to 4, 7 and 9 to 11, and the theorems."""
