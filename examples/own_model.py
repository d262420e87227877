"""A model and data of one's own for the pipeline; examples/own_model.yaml names these two functions."""

import numpy as np
import torch


def data(samples, noise, seed=0):
    """Return inputs of shape (N, 2) on two spirals and targets of shape (N, 1)."""
    generator = np.random.default_rng(seed)
    side = np.arange(samples) % 2
    radius = np.sqrt(generator.uniform(0.05, 1, size=samples))
    angle = 4 * radius + np.pi * side + noise * generator.normal(size=samples)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), 2.0 * side[:, None] - 1


def model(inputs, targets, *, seed, width):
    """Return a torch module that maps the inputs to the shape of the targets; the loss is the mean squared error."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(inputs.shape[1], width),
        torch.nn.GELU(),
        torch.nn.Linear(width, width),
        torch.nn.GELU(),
        torch.nn.Linear(width, targets.shape[1]),
    )
