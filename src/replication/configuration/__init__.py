"""The configuration: declared, read and checked, and expanded into the runs of each experiment.

- :mod:`~replication.configuration.sections`: every setting with its type, its limits and its meaning;
- :mod:`~replication.configuration.typed`, :mod:`~replication.configuration.schema`: the JSON schema that follows from
  these, and typed objects of what it allows;
- :mod:`~replication.configuration.values`: values read by their schema;
- :mod:`~replication.configuration.checks`: what no type can say;
- :mod:`~replication.configuration.messages`: how it is said what is wrong;
- :mod:`~replication.configuration.reading`: all of these, for a whole configuration and its variants;
- :mod:`~replication.configuration.experiments`: the runs of a checked configuration.

No other package is needed for it, so that :mod:`replication.alone` checks as much on a machine that has neither
Snakemake nor what comes with it.

Nothing is done before every value has been looked at; what is wrong is said in one message that names the key, what
was found, what is allowed and the nearest valid name.
"""

from replication.configuration.experiments import (
    Config,
    Run,
    arora_settings,
    data_set,
    downloads,
    figure_experiments,
    made_from,
    run,
    runs,
    settings,
    used,
)
from replication.configuration.reading import ConfigurationError, check, take_numbers_in_braces

__all__ = [
    "Config",
    "ConfigurationError",
    "Run",
    "arora_settings",
    "check",
    "data_set",
    "downloads",
    "figure_experiments",
    "made_from",
    "run",
    "runs",
    "settings",
    "take_numbers_in_braces",
    "used",
]
