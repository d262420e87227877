"""Every setting of the configuration: its name, its type with its limits, and what it is, in which unit.

What is checked, the messages, the typed objects and the JSON schema for editors (``make schema``) all follow from
here. Why a value is what it is, and where it comes from, stands beside it in ``config.yaml``. What no type can say
(names that refer to each other, files) is in :mod:`replication.configuration.checks`.

A class is a section with its keys; one with a default may be left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from typing import Annotated, Any, Literal

from gfsharp.flow_methods import Method
from replication.configuration.typed import limits
from replication.figure_registry import FIGURES, OF_EXPERIMENTS, OF_PANELS

# In place of initial weights: the start that is chosen from the plane.
FROM_PLANE = "plane"

# The architectures with what each needs to be told. An overlay that chooses another leaves the rest, unused.
ARCHITECTURES = {
    "fully_connected": ("activation", "widths"),
    "vgg11_bn": ("channels",),
    "resnet20": ("channels",),
    "custom": ("factory", "options"),
}

# Patterns are ECMAScript's, as JSON Schema asks. Python's $ would allow a line break at the end: hence (?!\n).
Name = Annotated[
    str,
    limits(
        title="Name",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$(?!\n)",
        description="letters, digits, '-' and '_', beginning with a letter or digit",
    ),
]
Key = Annotated[
    str,
    limits(title="Key", pattern=r"^[A-Za-z0-9_.-]+$(?!\n)", description="a key of this file, as in data.digits.images"),
]
Path = Annotated[
    str,
    limits(
        title="Path",
        pattern=r"^([^{}~\s/]([^{}\s]*[^{}\s/])?|/[^{}\s]*[^{}\s/])$(?!\n)",
        description="a path without braces, spaces, a leading ~ or a slash at the end",
    ),
]
Function = Annotated[
    str,
    limits(
        title="Function",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$(?!\n)",
        description="a function as package.module:function",
    ),
]
Natural = Annotated[int, limits(minimum=0)]
Count = Annotated[int, limits(minimum=1)]
Several = Annotated[int, limits(minimum=2)]
Positive = Annotated[float, limits(exclusiveMinimum=0)]
Part = Annotated[float, limits(exclusiveMinimum=0, exclusiveMaximum=1)]
Range = Annotated[tuple[Positive, Positive], "the smallest, then the largest"]
Positives = Annotated[list[Positive], limits(minItems=1, uniqueItems=True)]
Seed = Annotated[int, limits(minimum=0, maximum=2**32 - 1)]
Seeds = Annotated[list[Seed], limits(minItems=1, uniqueItems=True), "one run each"]
Widths = Annotated[list[Annotated[int, limits(minimum=1, maximum=16)]], limits(minItems=3, maxItems=9)]
LinearNetworks = Annotated[list[Widths], limits(minItems=1, uniqueItems=True)]
SingularValues = Annotated[
    list[Positive],
    limits(minItems=1),
    "of the product of the layers at the minima; as many count as it has",
]
Tolerance = Annotated[float, limits(exclusiveMinimum=0, maximum=0.1)]
Options = Annotated[dict[str, Any], "arguments by name for the function"]


@dataclass(frozen=True, kw_only=True)
class Directories:
    results: Annotated[Path, "tables, checkpoints and claims"]
    figures: Annotated[Path, "the figures"]
    downloads: Annotated[Path, "downloaded archives"]


@dataclass(frozen=True, kw_only=True)
class Execution:
    checkpoint_files_per_gfs_job: Annotated[Count, "checkpoint files that one GFS job takes"]
    threads: Annotated[Count, "threads of each training and GFS job"]
    device: Annotated[Literal["auto", "cpu", "cuda"], "where networks run; auto: on a GPU where there is one"]


@dataclass(frozen=True, kw_only=True)
class Stop:
    loss: Annotated[Positive, "the loss at which training stops"]
    iterations: Annotated[Count, "steps after which training stops at the latest"]


# data


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    source: Annotated[Literal["gaussian"], "Gaussian inputs and labels"]
    samples: Annotated[Count, "N, rows of the data"]
    dimension: Annotated[Count, "d, entries of an input"]
    mean: Annotated[float, "the inputs' mean along the all-ones vector"]
    deviation: Annotated[Positive, "the standard deviation of each entry"]
    label_deviation: Annotated[Positive, "the standard deviation of the labels"]


@dataclass(frozen=True, kw_only=True)
class _Images:
    skip: Annotated[Natural, "images left out before them"] = 0
    normalisation: Annotated[
        Literal["channel", "feature"], "by what images are centred and divided by their standard deviation"
    ] = "channel"


@dataclass(frozen=True, kw_only=True)
class Digits(_Images):
    source: Annotated[Literal["digits"], "8 x 8 digits, which ship with scikit-learn"]
    images: Annotated[Count, limits(maximum=1797), "how many"]


@dataclass(frozen=True, kw_only=True)
class Cifar10(_Images):
    source: Annotated[Literal["cifar10"], "CIFAR-10, downloaded or from a file"]
    images: Annotated[Count, limits(maximum=50000), "how many"]
    file: Annotated[Path | None, "a local .npz with x (uint8, N x 3 x 32 x 32) and y (integers 0 to 9)"] = None


@dataclass(frozen=True, kw_only=True)
class Svhn(_Images):
    source: Annotated[Literal["svhn"], "SVHN, downloaded or from a file"]
    images: Annotated[Count, limits(maximum=73257), "how many"]
    file: Annotated[Path | None, "a local .npz with x (uint8, N x 3 x 32 x 32) and y (integers 0 to 9)"] = None


@dataclass(frozen=True, kw_only=True)
class Npz(_Images):
    source: Annotated[Literal["npz"], "images of one's own"]
    images: Annotated[Count, "how many"]
    file: Annotated[Path, "a local .npz with x (uint8, N x 1 or 3 x H x W) and y (integers 0 to 9)"]


@dataclass(frozen=True, kw_only=True)
class CustomData:
    source: Annotated[Literal["custom"], "what a function of one's own returns"]
    factory: Annotated[Function, "returns inputs and targets"]
    options: Options = field(default_factory=dict)


ImageData = Digits | Cifar10 | Svhn | Npz
DataSet = Gaussian | Digits | Cifar10 | Svhn | Npz | CustomData


# experiments


@dataclass(frozen=True, kw_only=True)
class _Training:
    descent: Annotated[
        Literal["plain", "normalised", "sqrt"],
        "gradient descent on the loss, with its gradient normalised, or on the square root of the loss",
    ] = "plain"
    stop: Stop
    sharpness_every: Annotated[Count, "iterates between sharpness estimates"]
    checkpoint_every: Annotated[Count, "iterates between checkpoints, and so between GFS sharpness values"]


@dataclass(frozen=True, kw_only=True)
class ScalarRuns(_Training):
    model: Annotated[Literal["scalar"], "a scalar network"]
    initial_weights: Annotated[
        Literal["plane"] | Annotated[list[float], limits(minItems=1)],
        "w(0), one weight a layer; plane: the start that scalar.start chooses from scalar.plane",
    ]
    learning_rates: Annotated[Positives, "eta, the step sizes; one run each"]


@dataclass(frozen=True, kw_only=True)
class RegressionRuns(_Training):
    model: Annotated[Literal["regression"], "squared regression"]
    data: Annotated[Name, "a Gaussian data set of the section data"]
    seeds: Annotated[Seeds, "of the data"]
    learning_rate_fractions: Annotated[
        Positives, "eta in units of 2 / (sharpness of the flattest interpolator); one run each"
    ]
    initial_scale: Annotated[Positive, "every entry of u_+ and u_- at the start"]


@dataclass(frozen=True, kw_only=True)
class Flow:
    method: Annotated[Method, "the integrator"]
    loss_tolerance: Annotated[Positive, "the loss at which the flow counts as having arrived"]
    tolerance: Annotated[Tolerance, "rkc: the local error of a step, relative to the norm of the weights that move"]
    linear_steps: Annotated[bool, "rkc: exponential steps in a Krylov space where the flow is nearly linear"]
    step_factor: Annotated[float, limits(exclusiveMinimum=0, maximum=2.78), "rk4: the step in units of 1/sharpness"]
    sharpness_every: Annotated[Count, "rk4: steps between sharpness estimates"]
    max_gradients: Annotated[Count, "gradients and Hessian-vector products after which a flow is given up"]


@dataclass(frozen=True, kw_only=True)
class NetworkRuns(_Training):
    model: Annotated[Literal["network"], "a network of torch"]
    data: Annotated[Name, "a data set of images, or of one's own, of the section data"]
    architecture: Annotated[str, limits(enum=(*ARCHITECTURES,)), "the network, or custom for one of one's own"]
    activation: Annotated[Literal["hardtanh", "relu", "tanh"] | None, "fully_connected: between its layers"] = None
    widths: Annotated[list[Count] | None, "fully_connected: units of each hidden layer"] = None
    channels: Annotated[Count | None, "vgg11_bn, resnet20: channels of the first convolution"] = None
    factory: Annotated[Function | None, "custom: returns a torch module"] = None
    options: Options = field(default_factory=dict)
    precision: Annotated[Literal["float32", "float64"], "of the weights"]
    seeds: Annotated[Seeds, "of the initialisation"]
    learning_rates: Annotated[Positives, "eta, the step sizes; one run each"]
    flow: Flow


Experiment = ScalarRuns | RegressionRuns | NetworkRuns


# scalar


@dataclass(frozen=True, kw_only=True)
class Plane:
    direction: Annotated[
        list[float], limits(minItems=2), "the shape of the starts: the logarithms of the weights up to a factor"
    ]
    learning_rate: Annotated[Positive, "eta"]
    gfs_sharpness: Annotated[Range, "of the GFS sharpness of the starts, in units of 2/eta"]
    products: Annotated[Range, "of the product of the starts' weights"]
    points: Annotated[tuple[Several, Several], "starts along GFS sharpness and along product"]
    stop: Stop


@dataclass(frozen=True, kw_only=True)
class Start:
    crossing_loss: Annotated[Positive, "the loss wanted where the GFS sharpness crosses 2/eta"]
    largest_final: Annotated[Positive, "the largest final sharpness, in units of 2/eta"]


@dataclass(frozen=True, kw_only=True)
class Gpgd:
    steps: Annotated[Count, "steps of GPGD from each checkpoint"]
    kept: Annotated[Several, "of them, the last so many"]


@dataclass(frozen=True, kw_only=True)
class StableSet:
    learning_rate: Annotated[Positive, "eta"]
    products: Annotated[tuple[float, float], "smallest and largest product of the weights"]
    points: Annotated[Several, "products from the one to the other"]
    log_ratio: Annotated[Positive, "how far apart the logarithms of the weights may be"]
    shapes: Annotated[int, limits(minimum=3), "ratios of the weights tried along each axis"]


@dataclass(frozen=True, kw_only=True)
class Theorems:
    depths: Annotated[
        list[Annotated[int, limits(minimum=2, maximum=64)]],
        limits(minItems=1, uniqueItems=True),
        "of the scalar networks",
    ]
    points: Annotated[Count, "points drawn for each statement and depth"]
    seed: Annotated[Natural, "of the points"]


@dataclass(frozen=True, kw_only=True)
class Scalar:
    plane: Annotated[Plane, "figures 2c and 3: starts in the plane of GFS sharpness and product"]
    start: Annotated[Start, "figure 9: the start that is chosen from the plane"]
    gpgd: Annotated[Gpgd, "figures 4, 10 and 11: GPGD"]
    stable_set: Annotated[StableSet, "figure 7: the stable set at depth 3"]
    theorems: Annotated[Theorems, "points at which the theorems are tried"]


# regression


@dataclass(frozen=True, kw_only=True)
class ManySeeds:
    data: Annotated[Name, "a Gaussian data set of the section data"]
    seeds: Annotated[int, limits(minimum=1, maximum=100000), "so many, from 0 on"]
    learning_rate_fractions: Annotated[Positives, "eta in units of 2 / (sharpness of the flattest interpolator)"]
    initial_scale: Annotated[Positive, "every entry of u_+ and u_- at the start"]
    stop: Stop


@dataclass(frozen=True, kw_only=True)
class ManyScales:
    data: Annotated[Name, "a Gaussian data set of the section data"]
    seed: Annotated[Natural, "of the data"]
    values: Annotated[Positives, "initial scales: every entry of u_+ and u_- at the start"]
    start: Annotated[Positive, "GFS sharpness of the start in units of 2/eta, which gives eta"]
    stop: Stop


@dataclass(frozen=True, kw_only=True)
class Regression:
    runs: Annotated[ManySeeds, "runs over seeds and step sizes"]
    scales: Annotated[ManyScales, "runs over initial scales"]


# arora


@dataclass(frozen=True, kw_only=True)
class Valley:
    starts: Annotated[list[Range], limits(minItems=1), "pairs x and y"]


@dataclass(frozen=True, kw_only=True)
class AroraScalar:
    starts: Annotated[list[Annotated[list[Positive], limits(minItems=2)]], limits(minItems=1), "weights, one a layer"]


@dataclass(frozen=True, kw_only=True)
class AroraData:
    samples: Annotated[Count, "N, rows of the data"]
    dimension: Annotated[Count, "d, entries of an input"]
    mean: Annotated[float, "the inputs' mean along the all-ones vector"]
    deviation: Annotated[Positive, "the standard deviation of each entry"]
    label_deviation: Annotated[Positive, "the standard deviation of the labels"]
    seed: Annotated[Natural, "of the data"]


@dataclass(frozen=True, kw_only=True)
class AroraRegression:
    data: AroraData
    initial_scales: Annotated[Positives, "every entry of u_+ and u_- at the start; one start each"]


@dataclass(frozen=True, kw_only=True)
class Arora:
    learning_rates: Annotated[Positives, "eta, the step sizes"]
    tau: Annotated[Positive, "the end of the runs, in units of 1/eta^2 steps"]
    points: Annotated[Several, "times spread evenly over tau, and as many over the logarithm of the iteration"]
    consecutive: Annotated[int, limits(minimum=2, multipleOf=2), "iterates kept from each of these times on"]
    gfs_learning_rates: Annotated[Positives, "step sizes of the runs that are looked at after every step"]
    gfs_tau: Annotated[Positive, "the end of these runs, in units of 1/eta^2 steps"]
    valley: Annotated[Valley, "a valley in two dimensions"]
    scalar: Annotated[AroraScalar, "scalar networks"]
    regression: Annotated[AroraRegression, "squared regression"]


# linear


@dataclass(frozen=True, kw_only=True)
class Preimages:
    learning_rate: Annotated[Positive, "eta"]
    reach: Annotated[Positive, "the largest coordinate of a target"]
    targets: Annotated[Count, "targets along each axis"]
    points: Annotated[Count, "points along each axis by which the area that is mapped there is measured"]


@dataclass(frozen=True, kw_only=True)
class GdMap:
    networks: Annotated[LinearNetworks, "widths, from the inputs to the outputs"]
    samples: Annotated[Count, "Gaussian inputs and targets"]
    seed: Annotated[Natural, "of data and points"]
    deviation: Annotated[Positive, "the standard deviation of the weights"]
    points: Annotated[int, limits(minimum=100), "points per network and step size"]
    learning_rates: Annotated[Positives, "eta, the step sizes"]
    nearest: Annotated[float, limits(exclusiveMinimum=0, maximum=1), "the share of the points that the exponent is of"]
    epsilon: Annotated[Range, "of the distances from singular"]
    levels: Annotated[Several, "so many of them"]
    preimages: Annotated[Preimages, "of the scalar network of depth 2"]


@dataclass(frozen=True, kw_only=True)
class Minimisers:
    networks: Annotated[LinearNetworks, "widths, from the inputs to the outputs"]
    deficient: Annotated[LinearNetworks, "widths of those with targets of rank one"]
    samples: Annotated[Count, "Gaussian inputs and targets"]
    seed: Annotated[Natural, "of data and minimisers"]
    spread: Annotated[Positive, "the standard deviation of the logarithms of the singular values that mix the units"]
    points: Annotated[Several, "minimisers per network"]


@dataclass(frozen=True, kw_only=True)
class StableMinima:
    networks: Annotated[LinearNetworks, "widths, from the inputs to the outputs"]
    singular_values: SingularValues
    fraction: Annotated[Part, "eta where the radius varies, in units of 2 / (smallest sharpness of a global minimiser)"]
    fractions: Annotated[list[Part], limits(minItems=1, uniqueItems=True), "eta where it varies, in the same units"]
    radius: Annotated[Range, "of the norms up to which the search goes"]
    radii: Annotated[Several, "so many of them"]
    starts: Annotated[Count, "random minimisers that each search starts from"]
    seed: Annotated[Natural, "of the starts"]


@dataclass(frozen=True, kw_only=True)
class ConvergenceStop:
    gradient: Annotated[Positive, "the largest entry of the gradient of a run that has converged"]
    quiet: Annotated[Count, "steps in succession for which that has to be so"]
    steps: Annotated[Count, "steps at the latest"]


@dataclass(frozen=True, kw_only=True)
class Convergence:
    networks: Annotated[LinearNetworks, "widths, from the inputs to the outputs"]
    singular_values: SingularValues
    fractions: Annotated[Positives, "eta in units of 2 / (smallest sharpness of a global minimiser)"]
    starts: Annotated[Count, "starts, the same at all step sizes"]
    deviation: Annotated[Positive, "the standard deviation of a weight times the root of its layer's inputs"]
    seed: Annotated[Natural, "of the starts"]
    stop: Annotated[ConvergenceStop, "when a run ends"]


@dataclass(frozen=True, kw_only=True)
class LinearFlow:
    loss_tolerance: Annotated[Positive, "the loss at which flows stop"]
    tolerance: Annotated[Tolerance, "the local error of a step"]


@dataclass(frozen=True, kw_only=True)
class LinearGfs:
    networks: Annotated[LinearNetworks, "widths, from the inputs to the outputs"]
    singular_values: SingularValues
    seeds: Annotated[Seeds, "of the starts"]
    spread: Annotated[Positive, "of the minimiser that a start is near to, as in linear.minimisers"]
    deviation: Annotated[Positive, "the standard deviation of the noise that is added to it"]
    sharpness: Annotated[Range, "of the minimiser, in units of the smallest one"]
    above: Annotated[Positive, "GFS sharpness of the start in units of 2/eta, which gives eta"]
    stop: Stop
    flow: LinearFlow


@dataclass(frozen=True, kw_only=True)
class Linear:
    gd_map: Annotated[GdMap, "figure_linear_map: near-singular points of the map of gradient descent"]
    minimisers: Annotated[Minimisers, "figure_linear_minima: the codimension of the global minimisers"]
    stable_minima: Annotated[StableMinima, "figure_linear_minima: how far out the stable minima lie"]
    convergence: Annotated[Convergence, "figure_linear_convergence: the share of starts that converge"]
    gfs: Annotated[LinearGfs, "figure_linear_gfs: the GFS sharpness along gradient descent"]


# figures and sensitivity

_Panels = Annotated[list[Name], limits(minItems=1, maxItems=6, uniqueItems=True)]
Figures = make_dataclass(
    "Figures",
    [(name, Annotated[_Panels if name in OF_PANELS else Name, FIGURES[name].title]) for name in OF_EXPERIMENTS],
    frozen=True,
    kw_only=True,
)


@dataclass(frozen=True, kw_only=True)
class Study:
    table: Annotated[
        Literal["figure01", "figure02", "figure05", "figure06", "figure12", "figure13", "plane"],
        "what a figure shows, or the plane",
    ]
    settings: Annotated[dict[str, Any], "keys of the configuration with what is smaller here, so that it takes seconds"]
    alternatives: Annotated[
        dict[Key, Annotated[list[Any], limits(minItems=1, uniqueItems=True)]],
        limits(minProperties=1),
        "keys of the configuration, each with what is tried in place of its value",
    ]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    scale: Annotated[Name, "a name for this set of values; the claims carry it"]
    directories: Annotated[Directories, "where results, figures and downloads go"]
    execution: Annotated[Execution, "threads, device, and how much a job takes"]
    data: Annotated[dict[Name, DataSet], limits(minProperties=1), "data sets by name"]
    experiments: Annotated[dict[Name, Experiment], limits(minProperties=1), "training runs by name"]
    scalar: Annotated[Scalar, "scalar networks beyond single runs"]
    regression: Annotated[Regression, "squared regression beyond single runs"]
    arora: Annotated[Arora, "the two methods of Arora et al. beside their limiting flows"]
    linear: Annotated[Linear, "linear networks at large step sizes"]
    figures: Annotated[Figures, "the experiments that each figure shows"]  # type: ignore[valid-type]
    sensitivity: Annotated[dict[Name, Study], "other values than ours, each changed alone"]
