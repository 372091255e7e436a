"""How the endpoint sees a photo, for programs of others: the names of `contract/` under the address that they had before.

`from inference_code.contract import decode, UnreadablePhoto` worked until `contract/` moved to the top; checks and notebooks that
compare their own pixels with the server's keep working. Nothing of ours imports this, and nothing is defined here.
"""

from contract.decode import MAX_BYTES, MAX_PIXELS, decode
from contract.manifest import InvalidManifest, Manifest
from contract.preprocessing import Preprocessing, Resize, resize_and_crop, to_tensor
from contract.unreadable import UnreadablePhoto
from contract.whole_file import whole_file

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
