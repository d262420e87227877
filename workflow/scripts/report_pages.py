"""Rule report_pages: the figures' captions with the claims about them, and the pages that the report shows."""

import json
from html import escape
from pathlib import Path

import yaml
from docutils.core import publish_parts

import _job
from replication import figure_registry, value_sources
from replication.claims import printing
from replication.reporting import deviations, report
from replication.storage import files


def main(snakemake: _job.Snakemake) -> None:
    results = json.loads(Path(snakemake.input.claims).read_text(encoding="utf-8"))
    marked = value_sources.by_key(*snakemake.params.files)
    sections = []
    for figure, shown, png, path in zip(
        figure_registry.FIGURES, snakemake.input.shown, snakemake.input.pictures, snakemake.output.captions, strict=True
    ):
        about = report.claims_of(results, figure)
        chosen = deviations.of_figure(snakemake.params.configuration, figure, marked)
        caption = report.caption(Path(shown).read_text(encoding="utf-8"), about, chosen)
        # Snakemake takes it for a template.
        files.write_text(path, f"{{% raw %}}{caption}{{% endraw %}}\n")
        sections.append(report.figure(figure, png, publish_parts(caption, writer="html")["body"]))
    scale = snakemake.params.scale
    files.write_text(snakemake.output.overview, report.page(f"Figures and claims, scale {scale}", "\n".join(sections)))
    files.write_text(
        snakemake.output.claims, report.page(f"Claims, scale {scale}", report.table(results, printing.COLUMNS))
    )
    settings = yaml.safe_dump(snakemake.params.configuration, sort_keys=False, allow_unicode=True)
    files.write_text(snakemake.output.configuration, report.page("Configuration", f"<pre>{escape(settings)}</pre>"))


if "snakemake" in globals():
    _job.run(main, snakemake)
