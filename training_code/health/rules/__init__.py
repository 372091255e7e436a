"""The rules, by what they look at. Importing this package registers all of them."""

from training_code.health.rules import data, loss, machine, tensors, time

__all__ = ["data", "loss", "machine", "tensors", "time"]
