"""Claims on linear networks at large step sizes, of which the paper's abstract is at hand (arXiv 2402.13108)."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd

from replication.claims import controls
from replication.claims.claim import Claim, percent
from replication.measures import largest_final_gfs, largest_gfs_rise
from replication.papers import CRACIUN, Origin

# A search that has found no more than this much farther out, at ten times the radius or so, has found an end.
_GROWTH = 1e-3


def farthest_exponent(table: pd.DataFrame) -> float:
    """The exponent of the share of near-singular points, the farthest from one over networks and step sizes."""
    found = _several_layers(table)["exponent"]
    return float(found.iloc[(found - 1).abs().argmax()]) if len(found) else math.nan


def singular_points(table: pd.DataFrame) -> float:
    """Points at which the map's Jacobian is singular to rounding, over all networks of two layers or more."""
    found = _several_layers(table)
    return float(found.groupby(["network", "learning_rate"])["singular"].first().sum()) if len(found) else math.nan


def most_preimages(table: pd.DataFrame) -> float:
    """The most preimages of a target; infinite where one is not mapped to its target."""
    return float(table["count"].max()) if (table["error"] <= 1e-9).all() else math.inf


def area_ratio(table: pd.DataFrame) -> float:
    """Area counted by preimages over area counted by the determinant."""
    return float(table["area_ratio"].iloc[0])


def share_of_predicted_ranks(table: pd.DataFrame) -> float:
    """Share of the sampled minimisers, best product of full rank, at which both ranks are the codimension."""
    found = table[table["full_rank"]]
    fits = (found["rank"] == found["codimension"]) & (found["hessian_rank"] == found["codimension"])
    return float(fits.mean()) if len(found) else math.nan


def largest_norm_in_bounds(table: pd.DataFrame) -> float:
    """Largest norm of a stable minimum found over its bound; NaN where a search found none."""
    found = table[table["kind"] == "bounded"]
    return float((found["norm"] / found["bound"]).max(skipna=False)) if len(found) else math.nan


def largest_growth(table: pd.DataFrame, kind: str) -> float:
    """Norm found with the largest radius over that with the largest but one, less one; largest over the networks."""
    found = table[(table["kind"] == kind) & (table["search"] == "radius")]
    growths = []
    for _, rows in found.groupby("network"):
        last = rows.sort_values("radius")["norm"].iloc[-2:]
        growths.append(last.iloc[-1] / last.iloc[0] - 1 if len(last) == 2 else math.nan)
    return float(pd.Series(growths, dtype=float).max(skipna=False)) if growths else math.nan


def largest_share_past_critical(table: pd.DataFrame) -> float:
    """Largest share of starts that converge at a step above the critical one."""
    found = table[table["fraction"] > 1]
    return float(found["share"].max()) if len(found) else math.nan


def farthest_last_convergence(table: pd.DataFrame) -> float:
    """Largest step at which a start converges, in units of the critical one; the farthest from one over networks."""
    last = (
        table[table["share"] > 0].groupby("network")["fraction"].max().reindex(table["network"].unique(), fill_value=0)
    )
    return float(last.iloc[(last - 1).abs().argmax()])


def error_of_critical_step(table: pd.DataFrame) -> float:
    """Relative difference of the critical step by formula and by search, largest over the networks."""
    return float((table["searched"] / table["critical"] - 1).abs().max())


def largest_rise(table: pd.DataFrame) -> float:
    """Largest rise of GFS sharpness above an earlier value, on networks wider than one."""
    found = _of_width(table, wide=True)
    return largest_gfs_rise(found) if len(found) else math.nan


def largest_rise_in_closed_form(table: pd.DataFrame) -> float:
    """The same at width one, of the closed form; NaN where the table, an older one, does not have it."""
    found = _of_width(table, wide=False)
    if not len(found) or "closed_form" not in found:
        return math.nan
    return largest_gfs_rise(found.assign(gfs_sharpness=found["closed_form"]))


# Remarks.


def singular_at_depth_one(table: pd.DataFrame) -> str:
    control = table[table["control"]]
    if not len(control):
        return "no network of one layer to compare with"
    points = control["points"].iloc[0]
    return (
        f"at depth one, where the map is linear, and eta one over an eigenvalue of the inputs' covariance it is "
        f"singular at {control['singular'].iloc[0]} of {points} points: the statement needs two layers"
    )


def ranks_of_deficient(table: pd.DataFrame) -> str:
    found = table[~table["full_rank"]]
    if not len(found):
        return "no network with a target of deficient rank"
    ranks = ", ".join(str(rank) for rank in sorted(found["rank"].unique()))
    return (
        f"with targets of rank one, below what the widths allow, the ranks found are {ranks}: the minimisers then are "
        "no manifold, so the statement needs a target of full rank"
    )


def counted_preimages(table: pd.DataFrame) -> str:
    counts = table["count"].value_counts().sort_index()
    return ", ".join(f"{count} of {len(table)} targets have {number}" for number, count in counts.items())


def wide_networks(table: pd.DataFrame) -> str:
    found = table[(table["kind"] == "unbounded") & (table["search"] == "radius")]
    names = ", ".join(found["network"].unique())
    return (
        f"networks {names}: the norm found is that which the search is given. Where two neighbouring hidden layers are "
        "wider than the target's rank, a weight between units without input and units without output changes neither "
        "product nor Hessian and may be as large as one likes, so that the abstract must assume something on the "
        "widths that it does not name"
    )


def none_past_critical(table: pd.DataFrame) -> str:
    found = table[table["fraction"] > 1]
    runs = found["starts"].sum()
    if not (found["share"] == 0).all():
        return f"{found['minimum'].sum()} of {runs} runs end at minima, {found['saddle'].sum()} at saddles"
    return (
        f"none of {found['starts'].iloc[0]} starts of each network at {found['fraction'].nunique()} steps from "
        f"{found['fraction'].min():g} to {found['fraction'].max():g} times the critical one, with a 95 percent "
        f"interval up to {found['high'].max():.2g}; {found['bounded'].sum() / runs:.0%} stay bounded, the rest diverge"
    )


def saddles(table: pd.DataFrame) -> str:
    return f"of all {table['starts'].sum()} runs {table['saddle'].sum()} converge to a saddle"


def beside_the_flow(table: pd.DataFrame) -> str:
    found = _of_width(table, wide=False)
    if "closed_form" not in found:
        return "the table is older than this claim: snakemake --forcerun linear_gfs -- claims"
    off = (found["gfs_sharpness"] - found["closed_form"]).abs()
    return (
        f"by the flow the largest rise is {largest_gfs_rise(found):.2g}; its values are off by up to "
        f"{(off / found['closed_form']).max():.2g}, within their errors at {(off <= found['gfs_error']).mean():.1%} of "
        f"{len(found)} iterates"
    )


def rising_runs(table: pd.DataFrame) -> str:
    found = _of_width(table, wide=True)
    rising = [
        f"{network} {run} by {percent(rise, apart_from=_RISE_TOLERANCE)}"
        for (network, run), rows in found.groupby(["experiment", "run"], sort=False)
        if (rise := largest_gfs_rise(rows)) > _RISE_TOLERANCE
    ]
    runs = found.groupby(["experiment", "run"]).ngroups
    errors = (found["gfs_error"] / found["gfs_sharpness"]).max()
    return (
        f"it rises in {len(rising)} of {runs} runs{': ' if rising else ''}{', '.join(rising)}; the estimated errors "
        f"are at most {errors:.1%}, the flow keeps the balances to {found['balance_error'].max():.1g} of the squared "
        "norm"
    )


def _several_layers(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["control"]]


def _of_width(table: pd.DataFrame, *, wide: bool) -> pd.DataFrame:
    return table[table["experiment"].str.fullmatch(r"1(-1)*") != wide]


_RISE_TOLERANCE = 5e-3

CLAIMS: tuple[Claim, ...] = (
    Claim(
        id="linear-map-nonsingular", origin=Origin("our number", CRACIUN), figures={"figure_linear_map": ""},
        statement="Points at which gradient descent's map is nearly singular are as rare as those near a "
                  "hypersurface: the share with smallest |1 - eta lambda| up to epsilon is proportional to epsilon",
        quantity="exponent, the farthest from 1",
        measure=farthest_exponent, table="linear_gd_map", relation="within", bound=1.0, tolerance=0.15,
        reason="Of a set of full measure the exponent is 0, of a point in the plane 2. 0.15 is five standard errors "
               "of 3 percent each, for it is the farthest of ten.",
        fails_if="the exponent of a network is more than 0.15 from 1",
        control=controls.replaced("one layer in the place of several", exponent=0.0),
    ),
    Claim(
        id="linear-map-singular", origin=Origin("stated", CRACIUN), figures={"figure_linear_map": ""},
        statement="The map is non-singular",
        quantity="sampled points at which its Jacobian is singular to rounding",
        measure=singular_points, table="linear_gd_map", remark=singular_at_depth_one, relation="is", bound=0.0,
        reason="Not one of the points.",
        fails_if="it is singular at one of the points",
        control=controls.replaced("a map that is singular at each point", singular=lambda table: table["points"]),
    ),
    Claim(
        id="linear-map-preimages", origin=Origin("derived", CRACIUN), figures={"figure_linear_map": ""},
        statement="A point has finitely many preimages: on the scalar network of depth 2 at most five, the real roots "
                  "of a quintic",
        quantity="most preimages counted",
        measure=most_preimages, table="linear_preimages", remark=counted_preimages, relation="<=", bound=5.0,
        reason="A quintic has five real roots at most.",
        check="five are looked for, and no more",
        fails_if="more are counted, or one is not mapped to its target",
        control=controls.replaced("preimages that miss their targets", error=0.001),
    ),
    Claim(
        id="linear-map-area", origin=Origin("derived", CRACIUN), figures={"figure_linear_map": ""},
        statement="Those preimages are all: the area mapped to a square, counted by preimages, is that counted by the "
                  "Jacobian's determinant",
        quantity="ratio of the areas",
        measure=area_ratio, table="linear_preimages", relation="within", bound=1.0, tolerance=5e-3,
        reason="Both areas are sums over grids: some 1e-3 at the steps of the count.",
        fails_if="a preimage is missed or counted twice on two targets in a hundred",
        control=controls.scaled("area_ratio", 0.9, "one preimage in ten missed"),
    ),
    Claim(
        id="linear-minima-manifold", origin=Origin("derived", CRACIUN), figures={"figure_linear_minima": ""},
        statement="The global minimisers are a smooth manifold: at each the ranks of the residual's Jacobian and of "
                  "the Hessian are the codimension, r (d_in + d_out - r) for a smallest width r",
        quantity="share of sampled minimisers",
        measure=share_of_predicted_ranks, table="linear_minimisers", remark=ranks_of_deficient, relation="is",
        bound=1.0,
        reason="At each of the minimisers.",
        fails_if="a rank is another at one minimiser",
        control=controls.replaced("targets of deficient rank among them", full_rank=True, rank=1),
    ),
    Claim(
        id="linear-minima-bounded", origin=Origin("derived", CRACIUN), figures={"figure_linear_minima": ""},
        statement="The stable minima are bounded at depth 2, and where all hidden widths are the target's rank",
        quantity="largest norm found, in units of a bound derived here",
        measure=largest_norm_in_bounds, table="linear_stable_minima", relation="<=", bound=1.0,
        reason="The bound is derived, and the unit of the norm.",
        check="the bound is proved",
        fails_if="a stable minimum lies farther out", control=controls.of_kind("bounded"),
    ),
    Claim(
        id="linear-minima-found", origin=Origin("our number", CRACIUN), figures={"figure_linear_minima": ""},
        statement="A local search for stable minima finds none farther out with a larger radius there",
        quantity="relative growth of the largest norm found",
        measure=partial(largest_growth, kind="bounded"), table="linear_stable_minima", relation="<=", bound=0.0,
        tolerance=_GROWTH,
        reason="Searches end to some 1e-6 of the norm; without an end it grows with the radius, by a factor of three.",
        fails_if="the largest norm found grows by more than a thousandth", control=controls.of_kind("bounded"),
    ),
    Claim(
        id="linear-minima-wide", origin=Origin("our number", CRACIUN), figures={"figure_linear_minima": ""},
        statement="The stable minima are bounded whatever the widths, as the abstract has it",
        quantity="relative growth of the largest norm found on deep networks with neighbouring hidden layers wider "
                 "than the target's rank",
        measure=partial(largest_growth, kind="unbounded"), table="linear_stable_minima", remark=wide_networks,
        relation="<=", bound=0.0, tolerance=_GROWTH,
        reason="As where the widths are the target's rank: searches end to some 1e-6 of the norm.",
        fails_if="the largest norm found grows by more than a thousandth", control=controls.of_kind("unbounded"),
    ),
    Claim(
        id="linear-convergence-none", origin=Origin("derived", CRACIUN), figures={"figure_linear_convergence": ""},
        statement="If the step size is too big, gradient descent converges to a critical point from a null set of "
                  "starts: past 2 / (the smallest sharpness of a global minimiser) from none",
        quantity="largest share of starts",
        measure=largest_share_past_critical, table="linear_convergence", remark=none_past_critical, relation="is",
        bound=0.0,
        reason="Not one of the starts.",
        fails_if="one start converges",
        control=controls.scaled("fraction", 2.0, "steps twice as large as they are taken for"),
    ),
    Claim(
        id="linear-convergence-critical", origin=Origin("derived", CRACIUN), figures={"figure_linear_convergence": ""},
        statement="Up to that step size it converges from some starts: the share vanishes there",
        quantity="largest step at which one converges, in its units, the farthest from 1",
        measure=farthest_last_convergence, table="linear_convergence", remark=saddles, relation="within", bound=1.0,
        tolerance=0.02,
        reason="The steps nearest to the critical one are 1 percent from it.",
        fails_if="a start converges past 1.02, or none past 0.98",
        control=controls.scaled("fraction", 2.0, "steps twice as large as they are taken for"),
    ),
    Claim(
        id="linear-critical-step", origin=Origin("derived", CRACIUN), figures={"figure_linear_convergence": ""},
        statement="The smallest sharpness of a global minimiser on whitened data is D s^(2 - 2/D), s the target's "
                  "largest singular value",
        quantity="relative difference from a search",
        measure=error_of_critical_step, table="linear_convergence", relation="<=", bound=0.0, tolerance=1e-5,
        reason="The search ends when a power mean of the eigenvalues, of power 1,024, falls no longer: to some 1e-6.",
        fails_if="formula and search differ by more than 1e-5",
        control=controls.scaled("searched", 1.1, "a search that ends a tenth higher"),
    ),
    Claim(
        id="linear-gfs-scalar", origin=Origin("own", CRACIUN), figures={"figure_linear_gfs": ""},
        statement="At width one the GFS sharpness never rises, as Kreisler et al. prove",
        quantity="largest relative rise above any earlier value, in closed form",
        measure=largest_rise_in_closed_form, table="linear_gfs", remark=beside_the_flow, relation="<=", bound=0.0,
        tolerance=1e-12,
        reason="Rounding, as on scalar networks.",
        fails_if="an iterate's GFS sharpness is above an earlier one's by more than rounding",
        control=controls.RISING_CLOSED_FORM,
    ),
    Claim(
        id="linear-gfs-monotone", origin=Origin("own", CRACIUN), figures={"figure_linear_gfs": ""},
        statement="The GFS sharpness never rises by more than the errors of the flows on linear networks of width "
                  "above one either",
        quantity="largest relative rise",
        measure=largest_rise, table="linear_gfs", remark=rising_runs, relation="<=", bound=0.0,
        tolerance=_RISE_TOLERANCE,
        reason="The estimated errors of both values together, which are some 0.2 percent each at most.",
        fails_if="it rises by more than 5e-3 above an earlier value in one run", control=controls.RISING,
    ),
    Claim(
        id="linear-gfs-ends-below", origin=Origin("own", CRACIUN), figures={"figure_linear_gfs": ""},
        statement="On linear networks the GFS sharpness ends at most at 2/eta",
        quantity="last GFS sharpness, in units of 2/eta",
        measure=largest_final_gfs, table="linear_gfs", relation="<=", bound=1.0,
        reason="2/eta is the statement's own threshold.",
        fails_if="one run ends above 2/eta", control=controls.SHARPER,
    ),
)  # fmt: skip
