"""What training and serving agree on: how a photo becomes a tensor, and what a model artifact says about itself.

Both sides import these functions, so that a photo cannot mean one thing in training and another behind an endpoint.
Nothing here is heavier than NumPy, Pillow and OpenCV, and nothing unpickles.
"""

from inference_code.contract.decode import MAX_BYTES, MAX_PIXELS, UnreadablePhoto, decode
from inference_code.contract.manifest import InvalidManifest, Manifest
from inference_code.contract.preprocessing import Preprocessing, Resize, resize_and_crop, to_tensor
from inference_code.contract.whole_file import whole_file

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "InvalidManifest",
    "Manifest",
    "Preprocessing",
    "Resize",
    "UnreadablePhoto",
    "decode",
    "resize_and_crop",
    "to_tensor",
    "whole_file",
]
