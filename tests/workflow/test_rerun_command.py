"""What a user is told to do about a damaged file."""

import os
import sys

import pytest

import rerun_command
from gfsharp.errors import UserError
from replication.storage import files

TYPED = "/opt/env/bin/snakemake"


@pytest.mark.parametrize(
    ("typed", "again"),
    [
        (
            [TYPED, "figure06", "--configfile", "my.yaml"],
            f"{TYPED} figure06 --configfile my.yaml --forcerun a/b.parquet",
        ),
        (
            [TYPED, "--configfile", "my.yaml", "--", "all"],
            f"{TYPED} --configfile my.yaml --forcerun a/b.parquet -- all",
        ),
        ([TYPED, "-n", "--config", "scale=my own"], f"{TYPED} --config 'scale=my own' --forcerun a/b.parquet"),
        (["/site-packages/snakemake/__main__.py", "-c2"], f"{sys.executable} -m snakemake -c2 --forcerun a/b.parquet"),
        ([TYPED, "-nF", "--unlock", "all"], f"{TYPED} -F all --forcerun a/b.parquet"),
        (["/usr/bin/pytest", "-x"], "snakemake --forcerun a/b.parquet"),
    ],
)
def test_the_mend_is_the_user_s_own_command_and_what_to_make_again(monkeypatch, tmp_path, typed, again):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {})
    rerun_command.remember_command(typed)
    assert rerun_command.command("a/b.parquet") == again
    assert rerun_command.message(files.unreadable("a/b.parquet", "it is short")).endswith(f"; run: {again}")
    rerun_command.remember_command(["/x/snakemake", "--mode", "remote"])  # that of a job on a cluster
    assert rerun_command.command("a/b.parquet") == again


def test_other_errors_say_all_themselves():
    assert rerun_command.message(UserError("the file has no images")) == "the file has no images"


@pytest.mark.parametrize(
    ("typed", "lost"),
    [
        (["--configfile", "a.yaml", "--configfile", "b.yaml"], "--configfile a.yaml"),
        (["--configfiles", "a.yaml", "x.yaml", "-n", "--configfile=b.yaml"], "--configfiles a.yaml x.yaml -n"),
        (["--config", "scale=a", "-C", "scale=b"], "--config scale=a"),
        (["-Cscale=a", "all", "--config=scale=b"], "-Cscale=a all"),
        (["--configfile", "a.yaml", "b.yaml", "--config", "scale=a", "-c2", "--", "all"], None),
        (["--configfile", "a.yaml", "--", "--configfile"], None),
        (["--cores", "2", "figure01"], None),
    ],
)
def test_a_configuration_that_snakemake_would_drop_is_named(typed, lost):
    said = rerun_command.dropped_options([TYPED, *typed])
    assert (said is None) == (lost is None)
    assert lost is None or f"would drop {lost}; nothing was started" in said
    assert rerun_command.dropped_options(["/usr/bin/pytest", *typed]) is None
