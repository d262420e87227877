"""Gradient descent on the models of the paper, and gradient flow solutions along it, with checkpoints."""
