"""The command ``gfs``: the GFS sharpness of a network on a table of data, and the workflow's commands."""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gfsharp import __version__
from gfsharp.errors import UserError, first_line

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

_EXAMPLES = """\
examples:
  gfs sharpness --data my.csv --target y
  gfs follow --data my.csv --target y --lr 0.1,0.2 --every 50 --output followed
  gfs run figure02 --set scale=mine --set experiments.scalar-depth4.learning_rates=[0.15]
  gfs check my.yaml
"""
_EXAMPLES_OF = {
    "sharpness": "example:\n  gfs sharpness --data my.csv --target y --hidden 50,50 --activation tanh\n",
    "follow": "example:\n  gfs follow --data my.csv --target y --lr 0.1,0.2 --every 50 --output followed\n",
    "run": "example:\n  gfs run figure02 --cores 2 --set experiments.scalar-depth4.learning_rates=[0.15]\n",
    "check": "example:\n  gfs check my.yaml\n",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 2 where what was given cannot be used, or the workflow's."""
    given = _parser().parse_args(arguments)
    try:
        status: int = given.run(given)
    except (
        UserError,
        ArithmeticError,
        OSError,
        TypeError,
        ValueError,
    ) as error:  # of arguments, as the library refuses them
        print(f"gfs: {first_line(error)}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gfs",
        description="The sharpness of gradient flow solutions: of a network on your data, or in the workflow.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"gfsharp {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    of_start = _command(commands, "sharpness", "sharpness and GFS sharpness of a network at its start", _sharpness)
    _add_network(of_start)

    follow = _command(commands, "follow", "gradient descent on a network, with the GFS sharpness along it", _follow)
    _add_network(follow)
    follow.add_argument("--lr", required=True, type=_numbers, metavar="ETA,...", help="learning rates, a run each")
    follow.add_argument("--every", type=int, default=100, help="iterates between checkpoints (default: %(default)s)")
    follow.add_argument("--loss", type=float, default=1e-4, help="training loss to stop at (default: %(default)s)")
    follow.add_argument("--iterations", type=int, default=10_000, help="most steps of a run (default: %(default)s)")
    follow.add_argument("--output", type=Path, help="folder for followed.csv and followed.png")

    run = _command(commands, "run", "targets of the workflow, in a checkout of the project", _run)
    run.add_argument("targets", nargs="*", metavar="TARGET", help="such as figure02; all figures if none is given")
    run.add_argument("--cores", default="all", help="how many jobs side by side (default: all)")
    run.add_argument("--configfile", nargs="+", default=[], metavar="FILE", help="configurations over config.yaml")
    run.add_argument(
        "--set", action="append", default=[], metavar="A.B=VALUE", help="a value over all of them, in YAML"
    )
    run.add_argument("--dry-run", "-n", action="store_true", help="say what would be done")

    check = _command(commands, "check", "whether configurations can be used, in a checkout of the project", _check)
    check.add_argument("files", nargs="*", metavar="FILE")
    return parser


def _command(commands: Any, name: str, said: str, run: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=said,
        description=said[0].upper() + said[1:] + ".",
        epilog=_EXAMPLES_OF[name],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_network(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", required=True, type=Path, metavar="FILE", help="a table, .csv or .parquet")
    parser.add_argument("--target", required=True, type=_words, metavar="COLUMN,...",
                        help="what is predicted: numbers, or one column of classes, which becomes one-hot")  # fmt: skip
    parser.add_argument("--hidden", type=_widths, default=[50, 50], metavar="WIDTH,...",
                        help="widths of the hidden layers (default: 50,50)")  # fmt: skip
    parser.add_argument("--activation", choices=["tanh", "relu", "hardtanh"], default="tanh",
                        help="(default: %(default)s)")  # fmt: skip
    parser.add_argument("--raw", action="store_true",
                        help="leave the inputs as they are: by default each is standardised")  # fmt: skip
    parser.add_argument("--precision", choices=["float32", "float64"], default="float64", help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the initialisation (default: %(default)s)")
    parser.add_argument("--tolerance", type=float, default=1e-5, metavar="LOSS",
                        help="loss at which a gradient flow is left (default: %(default)s)")  # fmt: skip


def _numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _widths(text: str) -> list[int]:
    found = [int(part) for part in text.split(",")]
    if min(found) < 1:
        raise ValueError
    return found


def _words(text: str) -> list[str]:
    return text.split(",")


def _sharpness(given: argparse.Namespace) -> int:
    from gfsharp import curvature, flow, networks

    module, inputs, targets = _problem(given)
    loss, start = networks.flat_loss(module, inputs, targets)
    top = curvature.sharpness(loss, start, seed=given.seed)
    print(f"sharpness      {top.value:.5g} +- {top.residual:.1g}")
    found = flow.gfs_sharpness(loss, start, loss_tolerance=given.tolerance, seed=given.seed)
    print(f"GFS sharpness  {_value(found)}")
    print("for a run that reaches the edge of stability choose a learning rate above "
          f"{2 / found.value:.3g}" if found.status == "converged" else f"status         {found.status}")  # fmt: skip
    return 0


def _follow(given: argparse.Namespace) -> int:
    from gfsharp.follow import follow

    if given.output:
        given.output.mkdir(parents=True, exist_ok=True)
    module, inputs, targets = _problem(given)
    found = follow(
        module,
        inputs,
        targets,
        learning_rates=given.lr,
        every=given.every,
        loss_tolerance=given.loss,
        max_iterations=given.iterations,
        flow={"loss_tolerance": given.tolerance},
        seed=given.seed,
    )
    for run in found.runs:
        print(f"\nlearning rate {run.learning_rate:g}: 2/eta = {run.threshold:.5g}; {run.status} at iterate "
              f"{len(run.losses) - 1}, loss {run.losses[-1]:.3g}")  # fmt: skip
        print(f"{'iterate':>8} {'loss':>10} {'sharpness':>10}  GFS sharpness")
        for point in run.checkpoints:
            gfs = "not finite" if point.gfs is None else _value(point.gfs)
            print(f"{point.iteration:>8} {point.loss:>10.3g} {point.sharpness:>10.5g}  {gfs}")
    if given.output:
        found.table().to_csv(given.output / "followed.csv", index=False)
        found.save_plot(given.output / "followed.png")
        print(f"\nwrote {given.output / 'followed.csv'} and {given.output / 'followed.png'}")
    return 0


def _value(found: Any) -> str:
    return f"{found.value:.5g} +- {found.error:.2g}" if found.status == "converged" else found.status


def _problem(given: argparse.Namespace) -> tuple[nn.Module, Tensor, Tensor]:
    """Return the network and its data, in the precision that is asked for."""
    import numpy as np
    import torch

    from gfsharp import networks

    table = _table(given.data)
    if table.empty:
        raise UserError(f"{given.data} has no rows")
    if len(set(given.target)) < len(given.target):
        raise UserError(f"--target names a column twice: {','.join(given.target)}")
    missing = [name for name in given.target if name not in table]
    if missing:
        raise UserError(f"{given.data} has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}")
    targets, inputs = table[given.target], table.drop(columns=given.target)
    if len(given.target) == 1 and not _numeric(targets.iloc[:, 0]):
        if targets.iloc[:, 0].isna().any():
            raise UserError(f"the column {given.target[0]!r} of {given.data} has empty cells")
        classes = sorted(set(targets.iloc[:, 0].astype(str)))
        print(f"classes of {given.target[0]}: {', '.join(classes)}", file=sys.stderr)
        y = np.array(targets.iloc[:, 0].astype(str).to_numpy()[:, None] == np.array(classes), dtype=float)
    else:
        y = _floats(targets, given.data)
    x = _floats(inputs, given.data)
    if not x.size:
        raise UserError(f"{given.data} has no inputs beside {', '.join(given.target)}")
    if not given.raw:
        deviations = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
    precision = {"float32": torch.float32, "float64": torch.float64}[given.precision]
    module = networks.fully_connected(
        x.shape[1], y.shape[1], widths=given.hidden, activation=given.activation, seed=given.seed
    ).to(precision)
    return module, torch.from_numpy(x).to(precision), torch.from_numpy(y).to(precision)


def _table(path: Path) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError:
        raise UserError("tables need pandas: pip install 'gfsharp[follow]'") from None
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {error}") from None


def _numeric(column: pd.Series) -> bool:
    return column.dtype.kind in "biuf"


def _floats(table: pd.DataFrame, path: Path) -> Any:
    for name in table.columns:
        if not _numeric(table[name]):
            raise UserError(
                f"the column {name!r} of {path} is not made of numbers: leave it out, or make numbers of it"
            )
        if table[name].isna().any():
            raise UserError(f"the column {name!r} of {path} has empty cells")
        if not all(map(math.isfinite, table[name])):
            raise UserError(f"the column {name!r} of {path} has cells that are infinite")
    return table.to_numpy(dtype=float, copy=True)  # not pandas' own, which is not to be written to


def _run(given: argparse.Namespace) -> int:
    command = ["snakemake", "--cores", given.cores]
    if given.dry_run:
        command.append("--dry-run")
    if given.configfile:
        command += ["--configfile", *given.configfile]
    if given.set:
        command += ["--config", *_settings(given.set)]
    return _in_checkout([*command, "--", *given.targets])


def _check(given: argparse.Namespace) -> int:
    return _in_checkout(["replication.check", *given.files])


def _settings(texts: Sequence[str]) -> list[str]:
    """Return ``--config`` arguments of Snakemake, one for each section: values of one are put together.

    >>> _settings(["a.b=1", "a.c.d=[2, 3]", "scale=mine"])
    ['a={b: 1, c: {d: [2, 3]}}', 'scale=mine']
    """
    tree: dict[str, Any] = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not all(path.split(".")):
            raise UserError(f"--set takes A.B=VALUE, found {text!r}")
        *sections, name = path.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
            if not isinstance(place, dict):
                raise UserError(f"--set {text}: {section} has a value of its own already")
        place[name] = value

    def written(value: Any) -> str:
        if not isinstance(value, dict):
            return str(value)
        return "{" + ", ".join(f"{name}: {written(inner)}" for name, inner in value.items()) + "}"

    return [f"{name}={written(value)}" for name, value in tree.items()]


def _in_checkout(command: Sequence[str]) -> int:
    """Run a module of the workflow's environment in the checkout that the working folder is."""
    here = Path.cwd()
    if not (here / "Snakefile").is_file() or not (here / "src" / "replication").is_dir():
        raise UserError("this works in a checkout of the project, the folder with its Snakefile, after `make install`")
    python = here / ".venv" / "bin" / "python"
    paths = os.pathsep.join(filter(None, [str(here / "src"), os.environ.get("PYTHONPATH")]))
    interpreter = str(python) if python.exists() else sys.executable
    return subprocess.run(
        [interpreter, "-m", *command], env={**os.environ, "PYTHONPATH": paths}, check=False
    ).returncode


if __name__ == "__main__":
    raise SystemExit(main())
