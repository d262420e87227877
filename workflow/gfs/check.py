"""``python -m gfs.check my.yaml``: what is wrong with configuration files on top of ``config.yaml``, without Snakemake.

Snakemake itself says of a file after ``--configfile`` that is not YAML neither which nor where.
"""

import sys
from pathlib import Path

from gfs import configuration, yaml_files
from gfs.errors import UserError

SCHEMA = Path(__file__).parents[1] / "schemas/config.schema.yaml"


def main(paths: list[str]) -> None:
    try:
        configuration.check(yaml_files.merged("config.yaml", *paths), SCHEMA)
    except UserError as error:
        sys.exit(str(error))
    print("the configuration can be used")


if __name__ == "__main__":
    main(sys.argv[1:])
