"""The same bytes from the same machine, whatever --cores; agreement within what is stated from another."""

import os
import platform
import re
import subprocess
import sys

import pytest
from project import TINY, checksums, copy_project

TABLES = ["fc-hardtanh-digits", "scalar-depth4", "scalar-high-loss", "regression"]
TARGETS = [
    *(f"results/tables/{name}.parquet" for name in TABLES),
    "results/scalar/stable_set/products.parquet",
    "results/scalar/theorems/depth2.parquet",
    "results/regression/runs/0.parquet",
    "results/regression/scales.parquet",
]
# What numpy, OpenBLAS, MKL, oneDNN and torch do on a processor without AVX.
OLDER_PROCESSOR = {
    "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3",
    "OPENBLAS_CORETYPE": "Nehalem",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "ATEN_CPU_CAPABILITY": "default",
}


def results(folder, cores, **environment):
    project = copy_project(folder)
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
    done = subprocess.run(
        [*command, "--configfile", str(TINY), "--", *TARGETS],
        cwd=project.folder,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE", **environment},
        capture_output=True,
        text=True,
        timeout=840,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return project.folder / "results"


@pytest.fixture(scope="module")
def on_two_cores(tmp_path_factory):
    return results(tmp_path_factory.mktemp("two") / "project", 2)


@pytest.mark.fault(
    "run again, with `--cores 1` in place of `--cores 2`", "the same bytes in every table and tensor file"
)
def test_same_machine_same_bytes(tmp_path, on_two_cores, measured):
    once, again = checksums(on_two_cores), checksums(results(tmp_path / "project", 1))
    assert len(once) > 20
    assert again == once
    measured(f"{len(once)} files")


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="other processors have no AVX to do without")
@pytest.mark.fault(
    "run again with the arithmetic of a processor without AVX", "agrees within what `replication.agreement` states"
)
def test_another_processor_agrees(tmp_path, on_two_cores, measured):
    elsewhere = results(tmp_path / "project", 2, **OLDER_PROCESSOR)
    command = [sys.executable, "-m", "replication.agreement", str(on_two_cores / "tables"), str(elsewhere / "tables")]
    compared = subprocess.run(command, capture_output=True, text=True, check=False)
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert compared.stdout.count("agrees") == 2 * len(TABLES)
    different = sum(checksums(on_two_cores)[name] != found for name, found in checksums(elsewhere).items())
    largest = max(map(float, re.findall(r": (\S+) \(at most", compared.stdout)))
    measured(f"{different} files with other bytes; largest difference {largest:.2g}")
