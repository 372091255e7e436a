"""Architectures by name, their weights and their way out to ONNX.

Refuses to guess: preprocessing comes from the weights, an unknown name is answered with the nearest known ones, and a
missing weight file with the command that brings it.
"""

from training_code.models.catalogue import ModelSpec, UnknownModel, resolve

__all__ = ["ModelSpec", "UnknownModel", "resolve"]
