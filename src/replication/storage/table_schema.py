"""The columns of tables: their types, the same in every table, with units and meanings.

Types are those of the files. In one of whole numbers a value may be empty, and a column that is empty throughout keeps
its type: Parquet's type for nothing at all cannot be read together with numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd  # a second to import: only tables need it

Kind = Literal["whole number", "number", "text", "truth"]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        kind: int64, float64, text or bool in the file.
        unit: empty for what has none.
        meaning: with when it is empty.
        always: whether every table of its kind has it.
        if_empty: the kind that it has in a table that is empty there throughout; None: the same.
    """

    kind: Kind
    unit: str
    meaning: str
    always: bool = True
    if_empty: Kind | None = None


Columns = Mapping[str, Column]


# Of tables/<experiment>.parquet and run.parquet, a row per iterate of gradient descent.
RUN: Columns = {
    "iteration": Column("whole number", "steps", "of gradient descent"),
    "loss": Column("number", "L", "at the iterate"),
    "sharpness": Column(
        "number", "L / w²", "largest Hessian eigenvalue at the iterate; empty where it was not computed"
    ),
    "status": Column("text", "", "`running`; on the last row `converged`, `out of iterations` or `diverged`"),
    "learning_rate": Column("number", "w² / L", "eta, or that of the run's `descent`"),
    "threshold": Column(
        "number",
        "L / w²",
        "2/eta; with `descent` normalised or sqrt 2 over the effective learning rate of the step from there, up to "
        "which a sharpness is stable",
    ),
    "gfs_sharpness": Column(
        "number",
        "L / w²",
        "sharpness of the gradient flow solution; empty between checkpoints and where there is none",
    ),
    "gfs_loss": Column("number", "L", "at the gradient flow solution"),
    "gfs_status": Column(
        "text",
        "",
        "`converged`, or why there is no number (networks: `budget`, `not finite`, `negative loss`, "
        "`negative curvature`, `stationary`, `unstable`, `eigenvalue not converged`; scalar networks: "
        "`does not exist`, `overflow`; squared regression: `certificate failed`); empty between checkpoints",
    ),
    "residual": Column("number", "L / w²", "estimate of the error of `gfs_sharpness`, for networks: of the eigenvalue"),
    "integration_error": Column("number", "L / w²", "the same of the flow's integration, from coarser ones"),
    "stopping_error": Column(
        "number", "L / w²", "the same of the flow's end, from its way on to lower losses; of a run's values alike"
    ),
    "gfs_error": Column("number", "L / w²", "sum of these three: estimates, not bounds"),
    "flow_time": Column("number", "w² / L", "length of the integrated flow; empty where none was made"),
    "gradient_evaluations": Column("whole number", "", "gradients that the flow took; empty where none was made"),
    "hessian_vector_products": Column("whole number", "", "products that it took; empty where none was made"),
    "experiment": Column("text", "", "its name in the configuration"),
    "run": Column("text", "", "name of the run's folder: seed and learning rate"),
    "seed": Column("whole number", "", "of the initialisation or the data; empty for scalar networks, which have none"),
    "descent": Column("text", "", "`normalised` or `sqrt`; only in tables of such runs", always=False),
}

# Of a scalar network's weights, as many as it has.
WEIGHTS: Columns = {"w<i>": Column("number", "w", "its weights `w1`, `w2`, ...", always=False)}


def of_run(*names: str) -> Columns:
    """Return columns that mean in another table what they mean in that of a run."""
    return {name: RUN[name] for name in names}


# What has the same meaning, and so the same type, in whatever table it is.
_EVERYWHERE = of_run("seed", "gradient_evaluations", "hessian_vector_products")


def typed(table: pd.DataFrame, columns: Columns | None = None) -> pd.DataFrame:
    """Return ``table`` with each column of the type that it is to have.

    Args:
        table: with columns by name.
        columns: all that it may have; by default only those are looked at that mean the same in every table.

    Raises:
        ValueError: a column is not among them or missing, or has values that its type has no room for.
    """
    if columns is not None:
        unknown = [name for name in table if _declared(name, columns) is None]
        missing = [name for name, column in columns.items() if column.always and name not in table]
        if unknown or missing:
            raise ValueError(
                f"columns of a table that replication.storage.table_schema does not have: {unknown}; "
                f"that are missing: {missing}"
            )
    known = _EVERYWHERE if columns is None else columns
    there = {str(name): column for name in table if (column := _declared(name, known))}
    return table.assign(**{name: _of_kind(table[name], column) for name, column in there.items()})


def _declared(name: object, columns: Columns) -> Column | None:
    return columns.get(str(name)) or columns.get(re.sub(r"\d+$", "<i>", str(name)))


def markdown(columns: Columns) -> str:
    """Return the columns as a table of a page."""
    rows = (
        f"| `{name}` | {column.kind}{f' ({column.if_empty} if all are empty)' if column.if_empty else ''} "
        f"| {column.unit} | {column.meaning} |"
        for name, column in columns.items()
    )
    return "\n".join(["| column | type | unit | meaning |", "|---|---|---|---|", *rows]) + "\n"


def _of_kind(values: pd.Series[Any], column: Column) -> pd.Series[Any]:
    import pandas as pd

    kind = column.if_empty if column.if_empty and values.isna().all() else column.kind
    types: Mapping[Kind, Any] = {
        "whole number": "int64" if values.dtype == "int64" else "Int64",
        "number": "float64",
        "text": pd.StringDtype(na_value=np.nan),
        "truth": "bool" if values.dtype == "bool" else "boolean",
    }
    try:
        if kind == "text" and not _all_text(values.dropna()):
            raise ValueError("not all of it is text")
        return values.astype(types[kind])
    except (TypeError, ValueError) as error:
        raise ValueError(f"column {values.name} is to be of kind {kind}, found {values.dtype}: {error}") from None


def _all_text(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
