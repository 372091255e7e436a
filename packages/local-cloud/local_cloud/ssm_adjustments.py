"""Where moto's Parameter Store differs from AWS's: how much a parameter holds, and what its tier is.

A value that only the local cloud takes would fail a deployment on AWS, in the middle. Tiers and their limits:
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html
"""

from __future__ import annotations

from typing import Any

STANDARD, ADVANCED, INTELLIGENT = "Standard", "Advanced", "Intelligent-Tiering"
MOST_CHARACTERS = {STANDARD: 4096, ADVANCED: 8192}
GUIDE = "https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"


def install() -> None:
    """Adjust moto's class; before SSM has state."""
    from moto.ssm.models import SimpleSystemManagerBackend

    plain = SimpleSystemManagerBackend.put_parameter

    def put_parameter(
        self: Any, name: str, description: str, value: str, *others: Any, tier: str | None, policies: str | None
    ) -> Any:
        known = self._parameters.get(name)
        chosen = _tier(tier, known[-1].tier if known else None, self.default_parameter_tier, value, policies)
        _require_room(chosen, value)
        return plain(self, name, description, value, *others, tier=chosen, policies=policies)

    SimpleSystemManagerBackend.put_parameter = put_parameter


def _tier(asked: str | None, before: str | None, default: str, value: str, policies: str | None) -> str:
    """Standard or Advanced: what was asked for, what the parameter has, or what it needs."""
    if asked == STANDARD and before == ADVANCED:
        raise _refused(
            "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to "
            "the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard "
            f"parameter. Be aware that you'll lose the parameter history. For more information, see {GUIDE}"
        )
    chosen = before if asked is None and before else asked or default
    if chosen == INTELLIGENT:
        needs_more = len(value) > MOST_CHARACTERS[STANDARD] or policies is not None or before == ADVANCED
        return ADVANCED if needs_more else STANDARD
    return chosen


def _require_room(tier: str, value: str) -> None:
    most = MOST_CHARACTERS[tier]
    if len(value) <= most:
        return
    advice = (
        " To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, "
        f"see {GUIDE}"
    )
    raise _refused(
        f"{tier} tier parameters support a maximum parameter value of {most} characters.{advice if tier == STANDARD else ''}"
    )


def _refused(message: str) -> Exception:
    from moto.ssm.exceptions import ValidationException

    return ValidationException(message)
