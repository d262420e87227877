"""The paper's questions and their answers: training, studies, claims, figures, and what these need around them.

It imports :mod:`gfsharp`, the science, and nothing of the workflow that calls it:

- :mod:`replication.storage`: tables, tensor files and their records;
- :mod:`replication.configuration`, :mod:`replication.yaml_files`, :mod:`replication.written_values`,
  :mod:`replication.variants`, :mod:`replication.factories`, :mod:`replication.check`: the configuration, checked;
- :mod:`replication.data`, :mod:`replication.image_files`: data sets;
- :mod:`replication.papers`: whose a statement is and where it stands;
- :mod:`replication.training`: models, gradient descent and gradient flow solutions along it, with checkpoints;
- :mod:`replication.studies`: what the paper, and two others, say about scalar networks, regression and linear networks;
- :mod:`replication.claims`, :mod:`replication.sensitivity`, :mod:`replication.agreement`: what was found, judged;
- :mod:`replication.figures`, :mod:`replication.reporting`: figures, report and the page of deviations;
- :mod:`replication.benchmarks`: speed and the coverage of error bars;
- :mod:`replication.alone`: experiments without Snakemake, in one process.
"""
