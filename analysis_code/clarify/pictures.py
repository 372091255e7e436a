"""A heat map for people: orange regions spoke for the answer, blue ones against it, grey ones hardly mattered."""

from typing import Final

import cv2
import numpy as np

FOR: Final = np.array([255, 122, 0], dtype=np.float32)
AGAINST: Final = np.array([30, 110, 255], dtype=np.float32)
_STRONGEST: Final = 0.62
_WEAK: Final = 0.1  # where no region moves the answer by a tenth, the picture stays pale instead of exaggerating


def heat_map(photo: np.ndarray, segments: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The photo in grey with its segments coloured by their part; uint8 RGB of the photo's size."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    picture = np.repeat((grey * 0.75 + 50)[:, :, None], 3, axis=2)
    strongest = float(np.abs(values).max())
    if strongest > 0:
        part = (values / max(strongest, _WEAK))[segments]
        opacity = (_STRONGEST * np.abs(part) ** 0.8)[:, :, None]
        colour = np.where(part[:, :, None] > 0, FOR, AGAINST)
        picture = picture * (1 - opacity) + colour * opacity
        picture[_borders(segments)] *= 0.82
        picture[_borders(segments == int(values.argmax()))] = 255  # the strongest region, outlined
    return np.clip(picture, 0, 255).astype(np.uint8)


def _borders(segments: np.ndarray) -> np.ndarray:
    borders = np.zeros(segments.shape, dtype=bool)
    borders[:, 1:] |= segments[:, 1:] != segments[:, :-1]
    borders[1:, :] |= segments[1:, :] != segments[:-1, :]
    return borders
