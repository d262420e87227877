"""The network of a run, from its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from gfsharp.errors import UserError
from gfsharp.networks.convolutional import resnet20, vgg11_bn
from gfsharp.networks.fully_connected import fully_connected, in_span_of_inputs
from replication import factories

_CONVOLUTIONAL = {"vgg11_bn": vgg11_bn, "resnet20": resnet20}


def build(parameters: Mapping[str, Any], inputs: Tensor, targets: Tensor) -> tuple[nn.Module, Tensor]:
    """Return the module of a run and the inputs that it takes.

    Args:
        parameters: ``architecture``, ``seed``, and what the architecture needs: ``widths`` and ``activation``
            (fully_connected), ``channels`` (vgg11_bn, resnet20), or ``factory`` and ``options`` (custom): a function of
            a user's own, called as ``factory(inputs, targets, seed=seed, **options)``, that returns a torch module; the
            global generators start from the seed while it runs.
        inputs: shape (N, C, H, W), or as a user's own data have it.
        targets: shape (N, K).

    Raises:
        UserError: a factory that cannot be imported or returns something else.
    """
    architecture, seed = parameters["architecture"], parameters["seed"]
    if architecture == "custom":
        return _custom(parameters, inputs, targets).to(inputs), inputs
    if architecture == "fully_connected":
        network = fully_connected(
            inputs[0].numel(),
            targets.shape[1],
            widths=parameters["widths"],
            activation=parameters["activation"],
            seed=seed,
        )
        return in_span_of_inputs(network.to(inputs), inputs)
    make = _CONVOLUTIONAL[architecture]
    return make(inputs.shape[1], targets.shape[1], channels=parameters["channels"], seed=seed).to(inputs), inputs


def _custom(parameters: Mapping[str, Any], inputs: Tensor, targets: Tensor) -> nn.Module:
    factory, seed = parameters["factory"], parameters["seed"]
    options = parameters.get("options", {})
    # Of copies: what it writes to them is not what the loss is of.
    module = factories.call(factory, inputs.clone(), targets.clone(), global_seed=seed, seed=seed, **options)
    if not isinstance(module, nn.Module):
        raise UserError(f"{factory} returned {type(module).__name__}, not a torch.nn.Module")
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_meta:
            raise UserError(f"{factory} returned a module on the device meta, where weights have no values ({name})")
        # To a real precision it would be cast with a warning, without its imaginary part.
        if tensor.is_complex():
            raise UserError(
                f"{factory} returned a module with complex numbers ({name}); only real ones can be trained here"
            )
    return module
