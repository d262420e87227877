#!/usr/bin/env bash
# snakemake 9.27.1: which rules may run where --allowed-rules names one?
# Guess: that one alone; where its input is missing, an error says so.
# Seen: without a checkpoint it is so. A checkpoint anywhere in the workflow, which has nothing to do with the target,
# makes the option do nothing: a rule that is not allowed is planned and run. Nothing warns of it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install snakemake==9.27.1
cat > "$folder/Snakefile" <<'SNAKEFILE'
rule fetch:
    output: "fetched.txt"
    shell: "echo fetched > {output}"

rule show:
    input: "fetched.txt"
    output: "shown.txt"
    shell: "cp {input} {output}"
SNAKEFILE
cat "$folder/Snakefile" - > "$folder/WithCheckpoint" <<'SNAKEFILE'

checkpoint split:
    output: directory("parts")
    shell: "mkdir -p {output}"
SNAKEFILE
cd "$folder"
ended() {
    rm -rf fetched.txt shown.txt
    venv/bin/snakemake --snakefile "$1" --cores 1 --allowed-rules show -- shown.txt > said.txt 2>&1 && echo 0 || echo "$?"
}
without=$(ended Snakefile)
missing=$(grep -c "Missing input files for rule show" said.txt || true)
with=$(ended WithCheckpoint)
[ -f fetched.txt ] && ran=yes || ran=no
echo "without a checkpoint: status $without, missing input named $missing time(s); with one: status $with, rule fetch ran: $ran"
[ "$without" != 0 ] && [ "$missing" -ge 1 ]
[ "$with" = 0 ] && [ "$ran" = yes ]
