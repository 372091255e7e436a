"""Who observes a training: what implements `training_code/observation.py`, so that the protocol knows none of its implementers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from training_code.observation import NoObserver, Observer, ObserverGroup

log = logging.getLogger("darkroom.observation")


def observers_for(base_dir: Path, hyperparameters: Mapping[str, str]) -> Observer:
    """The observers that this job asked for; `NoObserver` when it asked for none or when none could be made."""
    try:
        # Here and not above: a hook that cannot be loaded is a warning, too, and who observes nothing pays nothing.
        from training_code.debugging.assembly import observers

        members = observers(base_dir, hyperparameters)
    except Exception as error:
        log.warning("this training goes on unobserved: %s: %s", type(error).__name__, error)
        return NoObserver()
    return ObserverGroup(members) if members else NoObserver()
