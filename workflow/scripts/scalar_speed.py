"""Rule scalar_speed: how fast the GFS sharpness of scalar networks and figure 3 are."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

import _job
from replication.benchmarks import scalar
from replication.figures import drawing, style
from replication.storage import files, provenance

DEPTHS = [2, 4, 8, 16, 32, 64]
COUNTS = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000]


def main(snakemake: _job.Snakemake) -> None:
    record = provenance.recorder(snakemake.params.plane, section="scalar.plane")
    rows = scalar.against_others() + scalar.figure_3(snakemake.params.plane, threads=min(2, snakemake.threads))
    scaled = scalar.scaling(DEPTHS, COUNTS)
    hardware = provenance.hardware()
    machine = f"{hardware['processor']}, {hardware['cores']} cores, one used unless the row says otherwise"
    files.write_text(snakemake.output.page, scalar.markdown(rows, scaled, machine))
    with style.applied():
        drawing.save(draw(scaled), snakemake.output.picture)
    files.write_table(snakemake.output.table, scaled, {**record(), "measured": rows})


def draw(scaled: pd.DataFrame) -> Figure:
    figure, axes = style.subplots(size=(style.COLUMN_WIDTH, 2.6))
    colours = mpl.colormaps["viridis"]
    for i, (depth, group) in enumerate(scaled.groupby("depth")):
        colour = colours(0.9 * i / (scaled["depth"].nunique() - 1))
        axes.loglog(group["points"], group["seconds_per_point"] * 1e9, "o-", markersize=2.5, color=colour,
                    label=f"depth {depth}")  # fmt: skip
        floor = group["reading_seconds_per_point"].iloc[0] * 1e9
        axes.loglog(group["points"], [floor] * len(group), ":", color=colour, linewidth=0.8)
    axes.loglog([], [], ":", color="0.4", linewidth=0.8, label="reading the weights")
    axes.set(xlabel="points", ylabel="time per point (ns)")
    style.legend_above(axes, columns=3)
    return figure


if "snakemake" in globals():
    _job.run(main, snakemake)
