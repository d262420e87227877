"""Rule network_speed: how fast gradient flow solutions of networks are."""

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

import _job
from replication.benchmarks import networks
from replication.figures import drawing, style
from replication.storage import files, provenance

FULLY_CONNECTED = {"architecture": "fully_connected", "widths": (200, 200), "images": 50, "learning_rate": 0.05}
VGG11 = {"architecture": "vgg11_bn", "channels": 8, "images": 50, "learning_rate": 0.02}
RESNET20 = {"architecture": "resnet20", "channels": 8, "images": 50, "learning_rate": 0.01}
# Early in training the flows of networks with batch norm cross so many kinks that no two methods agree to a percent.
CASES = {
    "hardtanh": {**FULLY_CONNECTED, "activation": "hardtanh", "steps": 1000},
    "tanh": {**FULLY_CONNECTED, "activation": "tanh", "steps": 1000},
    "ReLU": {**FULLY_CONNECTED, "activation": "relu", "steps": 1000},
    "small, tanh": {**FULLY_CONNECTED, "activation": "tanh", "widths": (10, 10), "images": 20, "steps": 1000},
    "VGG-11, batch norm, early": {**VGG11, "steps": 40},
    "VGG-11, batch norm, late": {**VGG11, "steps": 100},
    "ResNet-20, batch norm, early": {**RESNET20, "steps": 40},
    "ResNet-20, batch norm, late": {**RESNET20, "steps": 100},
}
IMAGES = [25, 50, 100, 200]
WIDTHS = [50, 200, 400]


def main(snakemake: _job.Snakemake) -> None:
    record = provenance.recorder({name: {**case} for name, case in CASES.items()})
    table = pd.concat(
        [
            networks.work_and_precision(case, stiff=case.name.startswith("small"))
            for case in networks.cases(CASES)
        ],
        ignore_index=True,
    )  # fmt: skip
    rates = networks.gradient_rate()
    hardware = provenance.hardware()
    machine = f"{hardware['processor']}, {hardware['cores']} cores, {snakemake.threads} used"
    page = networks.markdown(table, rates, networks.by_size(IMAGES, WIDTHS), machine)
    files.write_text(snakemake.output.page, page)
    with style.applied():
        drawing.save(draw(table), snakemake.output.picture)
    files.write_table(snakemake.output.table, table, {**record(), "measured": networks.comparison(table) + rates})


def draw(table: pd.DataFrame) -> Figure:
    names = table["case"].unique()
    figure, axes = style.subplots(2, 4, size=(2.4 * style.COLUMN_WIDTH, 4.2), sharey=True)
    methods = {name: mpl.colormaps["tab10"](i) for i, name in enumerate(table["method"].unique())}
    for panel, name in zip(axes.flat, names, strict=True):
        case = table[table["case"] == name]
        for method, runs in case.groupby("method", sort=False):
            line, order = ("o-", 3) if method == "rkc" else ("s--", 2)
            panel.loglog(
                runs["gradients"], runs["error"], line, color=methods[method], markersize=3, label=method, zorder=order
            )
        floor = case["floor"].dropna().iloc[0]
        panel.axvline(floor, color="0.6", linewidth=0.8, linestyle=":", label="floor")
        panel.set_title(name, fontsize=8)
        panel.xaxis.set_minor_formatter(NullFormatter())
    for panel in axes[1]:
        panel.set_xlabel("gradients")
    for panel in axes[:, 0]:
        panel.set_ylabel(r"relative error of $\phi$")
    handles, labels = axes.flat[3].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=7)
    return figure


if "snakemake" in globals():
    _job.run(main, snakemake)
