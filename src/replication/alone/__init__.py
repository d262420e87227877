"""Experiments in one process and within a given time, on a machine without Snakemake.

``python -m replication.alone --help`` says how.

It calls the functions that the rules of the workflow call (:mod:`replication.stages`) and leaves their files
where the rules leave them, so that the output folder can be the ``directories.results`` of a configuration. What
differs is the order. Time is shared out over the runs; within one, training comes first, then the GFS points, those
first that say most if nothing follows: the start, the end, the middle, the quarters. Tables and records are written
after every point.
"""
