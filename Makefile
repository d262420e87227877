# `make` draws every figure, `make test` runs the tests; both install what they need, without root and inside this folder
# (but for uv's cache). Everything else is plain Snakemake: see README.md.
SHELL := /bin/sh
CORES ?= all
SNAKEMAKE := .venv/bin/snakemake
# For `make report`, `make resume`, `make test-faults` and `make test-cluster`: arguments for Snakemake, or for pytest.
ARGS ?=
REFERENCE := results/reference
# For `make agreement`: the tables to compare with the reference's.
TABLES ?= results/tables
# For `make claims`: whose.
CLAIMS ?= results/claims.json
SPEED := scalar_speed regression_speed network_speed coverage

.PHONY: figures report claims agreement reference-figures reference-collect resume install test test-fast test-faults \
	test-cluster lint benchmark archive redraw deviations schema environment clean
.DEFAULT_GOAL := figures

figures: install
	$(SNAKEMAKE) --cores $(CORES)
	@echo "Done: the figures are in figures/, the claims in results/claims.md."

# One HTML file with every figure, what it shows, the claims about it, the configuration and how long all took.
report: install
	$(SNAKEMAKE) --cores $(CORES) $(ARGS) -- all report_pages
	$(SNAKEMAKE) $(ARGS) --report results/report.html --report-stylesheet workflow/report/narrow.css -- all report_pages
	@echo "Done: results/report.html; its first page by itself is results/report/overview.html."

# The claims of the last run with their verdicts; nothing is run for it.
claims: install
	@.venv/bin/python -m replication.claims $(CLAIMS)

# Figures and claims of the reference results, from their tables alone.
reference-figures:
	$(MAKE) redraw ARGS="--configfile config/paper.yaml config/reference.yaml"
	@echo "Done: the figures are in figures/reference/, the claims in results/reference/claims.md."

# After a default run: its tables become part of the reference results, and the tables of claims in README.md and
# docs/results.md those of both.
reference-collect: install
	$(SNAKEMAKE) --cores $(CORES) --forcerun reference_collect -- reference_collect
	$(MAKE) reference-figures
	.venv/bin/python -m replication.claims --page README.md --page docs/results.md $(REFERENCE)/claims-default.json $(REFERENCE)/claims.json

# Does a run of one's own agree with the reference results? Of config/reference.yaml in another checkout:
# `make agreement TABLES=other/results/reference/tables`.
agreement: install
	@.venv/bin/python -m replication.agreement $(TABLES) $(REFERENCE)/tables

# After Snakemake was killed: `make resume ARGS="figure06 --configfile my.yaml"` goes on with that command.
resume: install
	.venv/bin/python workflow/resume.py $(if $(filter-out all,$(CORES)),--cores $(CORES)) $(ARGS)

install: .venv/installed

# The environment is made anew only when the lock or the project changes, so that once installed no network is needed.
.venv/installed: pyproject.toml uv.lock envs/uv.sh
	uv=$$(envs/uv.sh) && "$$uv" sync --locked
	@touch $@
	@command -v uv > /dev/null || echo "Installed. For 'uv run snakemake' in README.md write .venv/bin/snakemake."

# One file a worker: the small pipeline run of tests/workflow/test_workflow.py is made once, and first, for it takes longest.
test: install
	.venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# The science and the replication without what takes long: a minute and a half on two cores.
test-fast: install
	.venv/bin/python -m pytest -n auto --dist worksteal -m "not slow" --durations=5 tests/gfsharp tests/replication src

# Processes killed at random, full disks, damaged files: some minutes. What needs root says so where there is none.
test-faults: install
	.venv/bin/python -m pytest -n auto --dist loadfile -rs tests/faults --page docs/faults.md $(ARGS)

# On a SLURM that it starts and stops: as root, with Debian's packages (tests/cluster/install.sh). Else it says why not.
test-cluster: install
	.venv/bin/python -m pytest tests/cluster -n 0 -rs --durations=0 --durations-min=1 $(ARGS)

lint: install
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/snakefmt --check Snakefile workflow
	$(SNAKEMAKE) --lint
	$(SNAKEMAKE) --lint --snakefile workflow/redraw.smk

# The pages of docs/ and the documentation of the package, in docs/_build/html; a warning is an error.
.PHONY: docs
docs: .venv/docs
	.venv/bin/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet docs docs/_build/html
	@echo "Done: docs/_build/html/index.html"

# What only that needs. `make install` takes it away again when the lock changes, and this puts it back.
.venv/docs: .venv/installed
	uv=$$(envs/uv.sh) && "$$uv" sync --locked --group docs
	@touch $@

# Speed, side by side in one run. Leave the machine alone meanwhile.
benchmark: install
	$(SNAKEMAKE) --cores $(CORES) --forcerun $(SPEED) -- $(SPEED)
	@cat results/speed/scalar.md results/speed/regression.md results/speed/networks.md results/speed/coverage.md

# What would be deposited, as one file in archive/; for other results than the default ones
# `make archive ARGS="--configfile config/paper.yaml"`.
archive: install
	.venv/bin/python workflow/archive.py $(ARGS)

# Every figure and the claims from their tables, as in an unpacked archive. There no other rule is known, so nothing is
# trained. If something can't be made, all stays as it was; `make redraw DRAWN=figure07` makes one thing by itself.
DRAWN := redrawn
redraw: install
	$(SNAKEMAKE) --snakefile workflow/redraw.smk --cores $(CORES) --force $(ARGS) -- $(DRAWN)

# What differs from the paper: docs/deviations.md, from the comments of the configuration and what was measured.
deviations: install
	.venv/bin/python -m replication.reporting.deviations

# The JSON schema of the configuration, for editors, from the settings that src/replication/configuration declares.
schema: install
	.venv/bin/python -c 'from replication.configuration import schema; print(schema.text(), end="")' > workflow/schemas/config.schema.json

# The conda environment, from the lock.
environment: uv.lock
	UV=$$(envs/uv.sh) envs/generate.sh

clean:
	rm -rf docs/_build docs/api
	rm -rf results/sensitivity/variants results/data results/runs results/scalar results/regression results/tables results/figures results/logs results/benchmarks
	rm -f results/claims.json results/claims.md figures/figure*
