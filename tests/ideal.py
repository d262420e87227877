"""Tables as the paper describes them, made to order: every claim holds on them."""

import numpy as np
import pandas as pd


def run_table(phi, sharpness=None, loss=None, status="converged", name="a"):
    """A run at eta = 0.2 (2/eta = 10) with GFS sharpness ``phi`` at every iterate."""
    phi = np.asarray(phi, dtype=float)
    count = len(phi)
    return pd.DataFrame(
        {
            "experiment": "test",
            "run": name,
            "seed": 0,
            "learning_rate": 0.2,
            "threshold": 10.0,
            "iteration": range(count),
            "loss": np.geomspace(1, 1e-9, count) if loss is None else loss,
            "sharpness": phi if sharpness is None else sharpness,
            "gfs_sharpness": phi,
            "gfs_error": 0.0,
            "gfs_status": np.where(np.isfinite(phi), "converged", "budget"),
            "status": ["running"] * (count - 1) + [status],
        }
    )


def good_run(name="a"):
    """Behaves as the paper says: phi flat until the sharpness crosses 2/eta, then down to just below it.

    The sharpness is above and below 2/eta by turns.
    """
    phi = np.concatenate([np.linspace(13.002, 13.0, 20), 9.99 + 3.01 * np.exp(-np.arange(80) / 8)])
    sharpness = np.concatenate([np.linspace(5, 10.05, 20), 10 - 0.1 * (-1.0) ** np.arange(79), [9.99]])
    loss = np.concatenate([np.geomspace(1, 1e-2, 20), np.geomspace(1e-2, 1e-9, 80)])
    loss[30:60:5] *= 3
    return run_table(phi, sharpness, loss, name=name)


def regression_runs(count=8):
    """Runs that fall to 2/eta, with a small rise early."""
    tables = []
    for i in range(count):
        phi = 9.99 + (1 + i / 10) * np.exp(-np.arange(100) / 15)
        phi[5] = phi[4] * (1 + 1e-7)
        tables.append(run_table(phi, name=f"run{i}").assign(gfs_status="converged", initial_scale=float(i)))
    return pd.concat(tables, ignore_index=True)


def plane():
    """Starts at GFS sharpness 8 and 12 with 2/eta = 10, at products around 1 and far above."""
    rows = [
        # product, initial, final, status, steps, rises, last_rise, in_set, first_in_set
        (1.1, 8.0, 7.9, "converged", 40, 0, 0, True, -1),
        (0.8, 12.0, 9.9, "converged", 300, 0, 0, True, -1),
        (1.2, 12.0, 9.9, "converged", 300, 0, 0, True, -1),
        (1.0, 12.0, 12.0, "converged", 0, 0, 0, True, -1),
        (2.2, 12.0, 9.0, "converged", 200, 0, 0, False, -1),
        (3.2, 12.0, 5.0, "converged", 30, 0, 0, False, -1),
        (3.6, 12.0, 4.5, "converged", 30, 2, 3, False, 5),
        (6.0, 12.0, np.nan, "diverged", 9, 4, 8, False, -1),
    ]
    names = ["product", "initial_gfs", "final_gfs", "status", "steps", "rises", "last_rise", "in_set", "first_in_set"]
    return pd.DataFrame(rows, columns=names).assign(threshold=10.0)


def gpgd(count=60):
    """A trajectory that follows GPGD's orbits closely and those of Zhu et al. not, chaotic at first.

    The error of two steps of theirs is the products' spread times 8 a kappa.
    """
    generator = np.random.default_rng(0)
    phi, spread = np.linspace(14, 9.9, count), np.linspace(0.4, 0.02, count)
    a = ((phi / 2) ** 2 - 4) ** 0.25 - (0.2**-2 - 4) ** 0.25
    drive = 8 * a * 0.2**0.5
    products = 1 + spread * np.where(np.arange(count) % 2, 1, -1)
    return pd.DataFrame(
        {
            "experiment": "test",
            "run": "a",
            "iteration": np.arange(count),
            "gfs_sharpness": phi,
            "threshold": 10.0,
            "product": products,
            "two_steps_on": products,
            "in_set": True,
            "period": np.repeat([0, 4, 2], [10, 10, count - 20]),
            "chaotic": np.arange(count) < 10,
            "lyapunov": 0.3,
            "distance": generator.uniform(0, 0.02, count),
            "shuffled_distance": generator.uniform(0, 0.5, count),
            "zhu_a": a,
            "zhu_period": np.where(drive > 1, 0, 2),
            "zhu_chaotic": drive > 1.3,
            "zhu_distance": generator.uniform(0.02, 0.1, count),
            "two_step_error": generator.uniform(0, 1e-3, count),
            "zhu_two_step_error": spread * np.abs(drive),
        }
    )


def stable_set():
    products = np.array([-0.5, 0.1, 0.4, 0.6, 0.8, 1.2])
    cosines = [0.9, 0.0, 0.0, 0.9, 0.99, 1.0]
    return pd.DataFrame({"product": products, "least_cosine": cosines, "points": [0, 5, 7, 0, 0, 0]})


def far_run():
    phi = np.array([12.0, 7.0, 5.0, 4.2, 4.1, 4.1])
    return pd.DataFrame(
        {
            "experiment": "test",
            "run": "a",
            "iteration": range(6),
            "loss": [2.0, 5.12, 1.0, 0.5, 1e-3, 1e-9],
            "gfs_sharpness": phi,
            "gfs_status": "converged",
            "threshold": 10.0,
            "status": ["running"] * 5 + ["converged"],
        }
    )


def descent_run(name, *, networks=True):
    """A run of normalised descent that keeps its sharpness at the threshold while both and phi fall."""
    count = 100
    phi = np.linspace(20, 12, count)
    table = run_table(phi, phi * 0.9, name=name, status="out of iterations")
    # To and fro: of two steps one is shorter and one longer than at the threshold.
    threshold = table["sharpness"] * np.where(np.arange(count) % 2, 0.9, 1.1)
    evaluations = 100 if networks else 0
    return table.assign(threshold=threshold, experiment=name, gradient_evaluations=evaluations, descent="normalised")


def network_descents():
    return pd.concat([descent_run("arora-fc-normalised"), descent_run("arora-fc-sqrt")], ignore_index=True)


def all_descents():
    others = [descent_run(name, networks=False) for name in ("arora-scalar-sqrt", "arora-regression-sqrt")]
    return pd.concat([*others, descent_run("arora-fc-sqrt")], ignore_index=True)


# Linear networks.


def linear_gd_map():
    """Shares in proportion to epsilon with two layers, and one layer whose map is singular everywhere."""
    epsilon = np.geomspace(1e-3, 1e-1, 5)
    several = [
        {"network": name, "learning_rate": 0.5, "epsilon": level, "share": level, "exponent": exponent, "singular": 0}
        for name, exponent in [("2-2-2", 0.97), ("1-1-1-1", 1.04)]
        for level in epsilon
    ]
    single = [
        {"network": "2-2", "learning_rate": 1.0, "epsilon": level, "share": 1.0, "exponent": 0.0, "singular": 1000}
        for level in epsilon
    ]
    table = pd.DataFrame([*several, *single]).assign(points=1000)
    return table.assign(control=table["network"] == "2-2")


def linear_preimages():
    return pd.DataFrame({"count": [1, 3, 5, 3], "error": 1e-15, "area_ratio": 1.001})


def linear_minimisers():
    """Ranks as predicted, and varying ones where the target is of deficient rank."""
    full = pd.DataFrame({"network": "3-1-2", "full_rank": True, "rank": [4] * 6, "codimension": 4})
    deficient = pd.DataFrame({"network": "2-2-2", "full_rank": False, "rank": [3, 4], "codimension": 4})
    table = pd.concat([full, deficient], ignore_index=True)
    return table.assign(hessian_rank=table["rank"])


def linear_stable_minima():
    """Searches that end, on all networks: as the abstract has it."""
    rows = [
        {"network": name, "kind": kind, "search": "radius", "radius": radius, "norm": min(radius, 5.0), "bound": bound}
        for name, kind, bound in [("2-2-2-2", "bounded", 18.0), ("2-3-3-2", "unbounded", np.inf)]
        for radius in (3.0, 10.0, 30.0, 100.0)
    ]
    return pd.DataFrame(rows)


def linear_convergence():
    """All of 300 starts converge at small steps, half just below the critical one and none past it."""
    fractions = np.array([0.1, 0.5, 0.9, 0.99, 1.01, 1.1])
    minimum = np.array([300, 290, 200, 150, 0, 0])
    tables = [
        pd.DataFrame(
            {
                "network": name,
                "fraction": fractions,
                "starts": 300,
                "minimum": minimum,
                "saddle": 0,
                "bounded": 300 - minimum,
                "diverged": 0,
                "share": minimum / 300,
                "high": np.minimum(minimum / 300 + 0.013, 1),
                "critical": 1.0,
                "searched": 1 - 1e-8,
            }
        )
        for name in ("1-1-1", "2-2-2")
    ]
    return pd.concat(tables, ignore_index=True)


def linear_gfs():
    tables = [good_run(f"seed{seed}").assign(experiment=name) for name in ("1-1-1", "2-2-2") for seed in (0, 1)]
    return pd.concat(tables, ignore_index=True).assign(
        balance_error=1e-5, gfs_error=0.01, closed_form=lambda table: table["gfs_sharpness"]
    )


def rises():
    """Runs of both descents along which phi falls at every step."""
    rows = [(problem, descent, start) for problem in "ab" for descent in ("normalised", "sqrt") for start in (0, 1)]
    return pd.DataFrame(rows, columns=["problem", "descent", "start"]).assign(learning_rate=0.1, largest_rise=-1e-5)
