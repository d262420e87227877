"""``python -m replication.check my.yaml``: what is wrong with files on top of ``config.yaml``, without Snakemake.

Snakemake itself says of a file after ``--configfile`` that is not YAML neither which nor where. ``config.yaml`` is
that of the working folder, or, where there is none, that of the checkout.
"""

import sys
from pathlib import Path

from gfsharp.errors import UserError
from replication import configuration, yaml_files

DEFAULT = Path(__file__).parents[2] / "config.yaml"


def main(paths: list[str]) -> None:
    base = Path("config.yaml") if Path("config.yaml").exists() else DEFAULT
    try:
        configuration.check(yaml_files.merged(base, *paths))
    except UserError as error:
        sys.exit(str(error))
    print(f"the configuration can be used, {' with '.join([f'that of {base}', *paths])}")


if __name__ == "__main__":
    main(sys.argv[1:])
