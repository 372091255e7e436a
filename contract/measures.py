"""What is said of a classifier from its answers on labelled photos: each quantity has one formula, whoever needs it.

NumPy alone, so that training, evaluation, benchmark and pages take it from here. `truth` and `predicted` are class indices, one per
photo; `probabilities` are photos × classes. Balanced accuracy is the mean recall of the classes that occur in the truth.
"""

from __future__ import annotations

import numpy as np

Z95 = 1.959963984540054
CALIBRATION_BINS = 15
SMALLEST_PROBABILITY = 1e-7  # below it lies what float32 rounds away; one certain mistake must not make a mean infinite
DRAWS = 4000


def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    return float(np.mean([np.mean(predicted[truth == one] == one) for one in np.unique(truth)]))


def balanced_accuracy_interval(truth: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean recall: each class's recall is a Beta(hits + 1/2, misses + 1/2).

    Brodersen et al. (2010), "The balanced accuracy and its posterior distribution", with Jeffreys' prior: unlike in a bootstrap,
    a class without a single error is not taken for one that can have none. The same photos always give the same interval.
    """
    random = np.random.default_rng(0)
    recalls = []
    for one in np.unique(truth):
        mine = truth == one
        hits = int(np.sum(predicted[mine] == one))
        recalls.append(random.beta(hits + 0.5, int(mine.sum()) - hits + 0.5, size=DRAWS))
    low, high = np.percentile(np.mean(recalls, axis=0), [2.5, 97.5])
    # The prior draws each class towards a half: where many recalls are 0 or 1, past the value that was measured.
    measured = balanced_accuracy(truth, predicted)
    return min(float(low), measured), max(float(high), measured)


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927): honest for few photos and shares near 1, unlike the normal one. n = 0: (0, 1)."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = right / n, Z95 * Z95
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * (share * (1 - share) / n + z2 / (4 * n * n)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def log_loss(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean negative logarithm of the probability of the true class; a certain mistake counts as SMALLEST_PROBABILITY."""
    chosen = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.clip(chosen, SMALLEST_PROBABILITY, 1)).mean())


def calibration_bins(truth: np.ndarray, probabilities: np.ndarray) -> list[tuple[float, float, int]]:
    """Mean stated probability, share that was right, and photos, of each bin of the predicted class's probability that has any."""
    stated, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == truth
    place = np.minimum((stated * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return [
        (float(stated[place == one].mean()), float(right[place == one].mean()), int((place == one).sum()))
        for one in np.unique(place)
    ]


def calibration_error(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Expected calibration error of the predicted class: 15 bins of equal width (Guo et al. 2017, arXiv:1706.04599)."""
    bins = calibration_bins(truth, probabilities)
    return float(sum(photos * abs(stated - right) for stated, right, photos in bins) / len(truth))
