"""A small network that takes its time without using the processor, and notes which process asks it for a loss."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import torch

# Snakemake copies scripts to tmp<random>.<rule>.py.
RULE = Path(sys.argv[0]).stem.split(".")[-1]


def is_being_checked():
    """Return whether the loss is asked for by the check of a new loss, whose number of calls is its own affair."""
    frame = sys._getframe()
    while frame:
        if frame.f_globals.get("__name__") == "gfsharp.self_check":
            return True
        frame = frame.f_back
    return False


def data(samples, seed=0):
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(samples, 3))
    return inputs, np.tanh(inputs @ generator.normal(size=(3, 1)))


class SlowNetwork(torch.nn.Module):
    def __init__(self, inputs, width, training_seconds, flow_seconds):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(inputs, width), torch.nn.Tanh(), torch.nn.Linear(width, 1))
        self.seconds = training_seconds if RULE == "train" else flow_seconds

    def forward(self, x):
        if is_being_checked():
            return self.layers(x)
        with Path(f"losses.{RULE}").open("ab", buffering=0) as losses:
            losses.write(f"{os.getpid()}\n".encode())
        time.sleep(self.seconds)
        return self.layers(x)


def model(inputs, targets, *, seed, width, training_seconds, flow_seconds):
    torch.manual_seed(seed)
    return SlowNetwork(inputs.shape[1], width, training_seconds, flow_seconds)
