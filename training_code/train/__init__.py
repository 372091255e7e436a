"""Training: a head on cached features, fine-tuning of the backbone, and a search over either inside one job."""

from training_code.train.command import main

__all__ = ["main"]
