"""Region attributions: superpixels, and the Shapley value of each for the answer of a model seen only from outside.

A photo is cut into segments (SLIC); coalitions of segments are shown while the others are blurred; a weighted linear
model of the answers gives each segment's part (KernelSHAP). The parts sum to answer(photo) - answer(all blurred).
Lundberg and Lee 2017, https://arxiv.org/abs/1705.07874; pairs of complementary coalitions, Covert and Lee 2021.
"""

from collections.abc import Callable
from itertools import chain, islice
from typing import Final, NamedTuple

import cv2
import numpy as np
from skimage.segmentation import slic

Ask = Callable[[list[np.ndarray]], np.ndarray]
LONGEST_SIDE: Final = 384
AT_ONCE: Final = 128  # pictures that are in memory: thousands may be asked for


class Attribution(NamedTuple):
    """`values` (segments, classes); `full`, `blurred` (classes): both ends; `fit`: share of variance explained."""

    segments: np.ndarray
    values: np.ndarray
    full: np.ndarray
    blurred: np.ndarray
    fit: float


def explain(photo: np.ndarray, ask: Ask, num_segments: int, compactness: float, samples: int, seed: int) -> Attribution:
    """Attribute the answer for an RGB photo to its segments; `ask` maps photos to probabilities (N, classes)."""
    segments = segment(photo, num_segments, compactness)
    count = int(segments.max()) + 1
    hidden = blur(photo)
    shown = coalitions(count, samples, np.random.default_rng(seed))
    pictures = chain((photo, hidden), (np.where(one[segments][:, :, None], photo, hidden) for one in shown))
    answers = np.concatenate([ask(some) for some in iter(lambda: list(islice(pictures, AT_ONCE)), [])])
    full, blurred, partial = answers[0], answers[1], answers[2:]
    values, fit = solve(shown, partial, full, blurred)
    return Attribution(segments, values, full, blurred, fit)


def shrink(photo: np.ndarray) -> np.ndarray:
    """Explaining needs regions, not megapixels: at most LONGEST_SIDE pixels a side."""
    height, width = photo.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return photo
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(photo, size, interpolation=cv2.INTER_AREA)


def segment(photo: np.ndarray, wanted: int, compactness: float) -> np.ndarray:
    """Segment numbers from 0, int (height, width); a photo too small or too even for SLIC is cut into a grid."""
    height, width = photo.shape[:2]
    found = slic(photo, n_segments=wanted, compactness=compactness, start_label=0) if min(height, width) >= 8 else None
    if found is None or found.max() < 1:
        rows = max(1, round(np.sqrt(wanted * height / width)))
        columns = max(1, round(wanted / rows))
        row = np.arange(height) * min(rows, height) // height
        column = np.arange(width) * min(columns, width) // width
        found = row[:, None] * min(columns, width) + column[None, :]
    return np.unique(found, return_inverse=True)[1].reshape(height, width)


def blur(photo: np.ndarray) -> np.ndarray:
    """What a hidden segment shows: the colours around it without anything recognisable."""
    height, width = photo.shape[:2]
    tiny = cv2.resize(photo, (max(1, min(4, width)), max(1, min(4, height))), interpolation=cv2.INTER_AREA)
    return cv2.resize(tiny, (width, height), interpolation=cv2.INTER_CUBIC)


def coalitions(segments: int, samples: int, random: np.random.Generator) -> np.ndarray:
    """Which segments are shown, bool (n, segments), as often as the Shapley kernel weighs them; none full or empty."""
    if segments < 2:
        return np.zeros((0, segments), dtype=bool)
    if 2**segments - 2 <= samples:  # so few that each can be asked; `solve` weighs them
        numbers = np.arange(1, 2**segments - 1)
        return (numbers[:, None] >> np.arange(segments)[None, :] & 1).astype(bool)
    sizes = np.arange(1, segments)
    weights = 1.0 / (sizes * (segments - sizes))
    chosen = random.choice(sizes, size=samples // 2, p=weights / weights.sum())
    ranks = random.random((samples // 2, segments)).argsort(axis=1).argsort(axis=1)
    half = ranks < chosen[:, None]
    return np.concatenate([half, ~half])


def solve(shown: np.ndarray, answers: np.ndarray, full: np.ndarray, blurred: np.ndarray) -> tuple[np.ndarray, float]:
    """Least squares under the constraint that the parts sum to full - blurred: (segments, classes), and the fit."""
    count = shown.shape[1]
    total = full - blurred
    if count < 2:
        return total[None, :].repeat(count, axis=0), 1.0
    weights = np.ones(len(shown))
    if len(shown) == 2**count - 2:  # every coalition once: the kernel was not in the sampling
        size = shown.sum(axis=1)
        binomial = np.array([float(np.prod([(count - k) / (k + 1) for k in range(s)])) for s in size])
        weights = (count - 1) / (binomial * size * (count - size))
    z = shown.astype(float)
    # The last part follows from the constraint: substitute it, solve for the others.
    left = z[:, :-1] - z[:, -1:]
    right = answers - blurred[None, :] - z[:, -1:] * total[None, :]
    root = np.sqrt(weights)[:, None]
    others = np.linalg.lstsq(left * root, right * root, rcond=None)[0]
    values = np.vstack([others, total[None, :] - others.sum(axis=0, keepdims=True)])
    best = int(full.argmax())
    observed = answers[:, best] - blurred[best]
    residual = observed - z @ values[:, best]
    spread = float(np.sum(weights * (observed - np.average(observed, weights=weights)) ** 2))
    fit = 1.0 - float(np.sum(weights * residual**2)) / spread if spread > 1e-12 else 1.0
    return values, max(0.0, fit)
