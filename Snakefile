# Gradient flow solutions along gradient descent: every figure of Kreisler et al. (ICML 2023) is a target.
from snakemake.utils import min_version

min_version("9.20")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/hooks.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/gfs.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/scalar.smk"
include: "workflow/rules/regression.smk"
include: "workflow/rules/arora.smk"
include: "workflow/rules/linear.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/sensitivity.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/speed.smk"


# The reference scale itself needs no collecting.
if os.path.normpath(RESULTS) != REFERENCE:

    include: "workflow/rules/reference.smk"


rule all:
    default_target: True
    input:
        **everything(),


depend_on_code()
