"""Rule plane_start: the start of figure 9, chosen from the plane."""

import numpy as np

import _job
from replication.storage import files, provenance
from replication.studies.scalar import plane


def main(snakemake: _job.Snakemake) -> None:
    settings, rule = snakemake.params.plane, snakemake.params.start
    inputs = files.checksums([snakemake.input.plane])
    record = provenance.recorder({"plane": settings, "start": rule}, section="scalar.start", inputs=inputs)
    table = files.read_table(snakemake.input.plane)
    columns = {str(name): table[name].to_numpy() for name in table}
    chosen = plane.choose_start(columns, 2 / settings["learning_rate"], rule["crossing_loss"], rule["largest_final"])
    w = np.array([table[f"w{i + 1}"].iloc[chosen] for i in range(len(settings["direction"]))])
    print(f"start {w.tolist()}, loss {table['crossing_loss'].iloc[chosen]:.3g} where its GFS sharpness crosses 2/eta")
    files.write_tensors(snakemake.output.tensors, {"initial_weights": w}, record())


if "snakemake" in globals():
    _job.run(main, snakemake)
