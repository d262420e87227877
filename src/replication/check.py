"""``python -m replication.check my.yaml``: what is wrong with configuration files on top of ``config.yaml``, without
Snakemake.

Snakemake itself says of a file after ``--configfile`` that is not YAML neither which nor where. ``config.yaml`` is
that of the working folder, or, where there is none, the default that comes with the package.
"""

import sys
from pathlib import Path

from gfsharp.errors import UserError
from replication import configuration, yaml_files

_PACKAGE = Path(__file__).parent


def _found(packaged: str, in_checkout: str) -> Path:
    """Return a file that an installed package has within it and a checkout beside it."""
    within = _PACKAGE / packaged
    return within if within.exists() else _PACKAGE.parents[1] / in_checkout


SCHEMA = _found("schemas/config.schema.yaml", "workflow/schemas/config.schema.yaml")
DEFAULT = _found("config.yaml", "config.yaml")


def main(paths: list[str]) -> None:
    base = Path("config.yaml") if Path("config.yaml").exists() else DEFAULT
    try:
        configuration.check(yaml_files.merged(base, *paths), SCHEMA)
    except UserError as error:
        sys.exit(str(error))
    print(f"the configuration can be used, {' with '.join([f'that of {base}', *paths])}")


if __name__ == "__main__":
    main(sys.argv[1:])
