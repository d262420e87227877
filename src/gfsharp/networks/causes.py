"""Why the loss of a module is not fit, if the module shows it, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from gfsharp.errors import LossError


def cause(module: nn.Module, error: LossError) -> str | None:
    """Return the likely cause of what :func:`gfsharp.self_check.check_loss` says of a module's loss, with the mend."""
    message = str(error)
    if "cudnn_rnn" in message:
        return "run it within torch.backends.cudnn.flags(enabled=False)"
    if any(kernel in message for kernel in ("scaled_dot_product", "flash_attention", "efficient_attention")):
        return (
            "that of this attention kernel is missing in torch: call it within "
            "torch.nn.attention.sdpa_kernel(SDPBackend.MATH)"
        )
    if "Checkpoint" in message or (error.kind != "random" and _calls(module, "checkpoint")):
        return _RECOMPUTED
    looks = {"random": _random_parts, "product": _weight_norms}
    found = list(looks[error.kind](module)) if error.kind in looks else []
    if found:
        return "; ".join(found)
    drawn = _calls(module, "dropout", "rand", "randn", "rand_like", "randn_like", "bernoulli", "normal_")
    if error.kind == "random" and drawn:
        return f"{drawn} draws at each call: call eval() on the module if that ends it"
    if error.kind == "random" and any(part.training for part in module.modules()):
        return "a part of the module draws random numbers: if it does so in training mode alone, call eval() first"
    return None


_RECOMPUTED = (
    "torch.utils.checkpoint inside a module needs use_reentrant=False, for the other way has no second derivative; or "
    "split the batch in a loss of your own and checkpoint each part around the call of the module"
)


def _calls(module: nn.Module, *names: str) -> str | None:
    """Return the method of a class of a user's own whose code has one of the names, as ``Class.method``, or None."""
    for kind in {type(part) for part in module.modules() if not type(part).__module__.startswith("torch.")}:
        for method in vars(kind).values():
            code = getattr(method, "__code__", None)
            if code is not None and set(names) & set(code.co_names):
                return f"{kind.__name__}.{method.__name__}"
    return None


def _random_parts(module: nn.Module) -> Iterator[str]:
    for name, part in module.named_modules():
        drops = getattr(part, "dropout", 0.0)
        if not part.training:
            continue
        if isinstance(part, nn.RNNBase | nn.MultiheadAttention) and isinstance(drops, float) and drops > 0:
            yield f"{type(part).__name__} ({name}) has dropout={drops}: call eval() on it, or set it to 0"
        if isinstance(part, nn.RReLU):
            yield f"RReLU ({name}) draws its slopes in training mode: call eval() on it"
        if isinstance(part, nn.FractionalMaxPool2d | nn.FractionalMaxPool3d):
            yield f"{type(part).__name__} ({name}) draws its regions: give it _random_samples"


def _weight_norms(module: nn.Module) -> Iterator[str]:
    for name in _with_hook_or_parametrisation(module, "WeightNorm"):
        yield (
            f"the second derivative of torch's weight_norm ({name}) is wrong: write its weight as g * v / v.norm() in "
            "a layer of your own, or take weight_norm away (torch.nn.utils.parametrize.remove_parametrizations)"
        )


def spectral_norms(module: nn.Module) -> list[str]:
    """Return the layers with ``spectral_norm`` in training mode, where their gradient is not that of their output."""
    return [*_with_hook_or_parametrisation(module, "SpectralNorm", training=True)]


def _with_hook_or_parametrisation(module: nn.Module, kind: str, *, training: bool = False) -> Iterator[str]:
    for name, part in module.named_modules():
        found = [
            type(part).__name__.removeprefix("_"),
            *(type(hook).__name__ for hook in part._forward_pre_hooks.values()),
        ]
        if kind in found and (part.training or not training):
            yield name.split(".parametrizations")[0].split("parametrizations")[0] or type(module).__name__
