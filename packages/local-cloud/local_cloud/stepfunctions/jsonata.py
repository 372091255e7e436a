"""JSONata expressions `{% … %}`: evaluated by jsonata-python, with Step Functions' own functions and failures.

https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import uuid
from functools import lru_cache
from typing import Any

from jsonata import Jsonata
from jsonata.jexception import JException
from jsonata.utils import Utils

from local_cloud.stepfunctions.failures import QueryFailed

EXPRESSION = re.compile(r"\{%(.*)%\}", re.DOTALL)
HASHES = {"MD5": "md5", "SHA-1": "sha1", "SHA-256": "sha256", "SHA-384": "sha384", "SHA-512": "sha512"}


def source_of(value: Any) -> str | None:
    """The expression of a text `{% … %}`, or None when the value is a plain one."""
    found = EXPRESSION.fullmatch(value) if isinstance(value, str) else None
    return found.group(1).strip() if found else None


def check(value: Any) -> None:
    """Raise ValueError for the first expression inside `value` that cannot be parsed."""
    if isinstance(value, dict):
        for item in value.values():
            check(item)
    elif isinstance(value, list):
        for item in value:
            check(item)
    elif (source := source_of(value)) is not None:
        try:
            _compiled(source)
        except JException as fault:
            raise ValueError(f"The JSONata expression {source!r} cannot be parsed: {fault}") from None


def evaluate(value: Any, field: str, bindings: dict[str, Any]) -> Any:
    """`value` with every expression inside it evaluated; QueryFailed names the field where one fails."""
    if isinstance(value, dict):
        return {name: evaluate(item, f"{field}/{name}", bindings) for name, item in value.items()}
    if isinstance(value, list):
        return [evaluate(item, f"{field}[{index}]", bindings) for index, item in enumerate(value)]
    source = source_of(value)
    return value if source is None else _result(source, field, bindings)


def expected(value: Any, field: str, source: Any, kinds: tuple[str, ...]) -> Any:
    """The value when its JSON type is one of `kinds`, else QueryFailed in AWS's words."""
    kind = kind_of(value)
    if kind in kinds:
        return value
    text = source_of(source)
    told = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    raise QueryFailed(
        f"The JSONata expression '{text if text is not None else source}' specified for the field '{field}' returned an "
        f"unexpected result type. Expected '{kinds[0]}', but was '{kind}' for value: {told}",
        field,
    )


def kind_of(value: Any) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    kinds = ((bool, "boolean"), (int | float, "number"), (str, "string"), (list, "array"), (dict, "object"))
    return next(name for kind, name in kinds if isinstance(value, kind))


def _result(source: str, field: str, bindings: dict[str, Any]) -> Any:
    compiled = _compiled(source)
    frame = compiled.create_frame()
    for name, value in bindings.items():
        # The library takes a null at the top of a binding for one that is not there.
        frame.bind(name, Utils.NULL_VALUE if value is None else value)
    told = f"The JSONata expression '{source}' specified for the field '{field}'"
    try:
        # Inside an object, null and "nothing" differ, and arrays stay as they are.
        answer = compiled.evaluate(None, frame)
        made = json.loads(json.dumps(answer))
    except JException as fault:
        raise QueryFailed(f"{told} threw an error during evaluation. {fault.error}: {_message(fault)}", field) from None
    except RecursionError:
        raise QueryFailed(f"{told} threw an error during evaluation. U1001: Stack overflow", field) from None
    except Exception:
        raise QueryFailed(f"{told} returned an unsupported result type.", field) from None
    if "v" not in made:
        raise QueryFailed(f"{told} returned nothing (undefined).", field)
    return made["v"]


def _message(fault: JException) -> str:
    return str(fault).removeprefix(f"{fault.error}").strip(": ")


@lru_cache(maxsize=1024)
def _compiled(source: str) -> Jsonata:
    made = Jsonata(f'{{"v":({source}\n)}}')
    for name, function in FUNCTIONS.items():
        made.register_lambda(name, function)
    return made


def _partition(values: list[Any], size: float) -> list[Any]:
    size = int(size)
    return [values[start : start + size] for start in range(0, len(values), size)]


def _range(first: float, last: float, step: float) -> list[int] | int:
    first, last, step = int(first), int(last), int(step)
    made = list(range(first, last + (1 if step > 0 else -1), step))
    return made[0] if len(made) == 1 else made  # a sequence of one is that one (recorded on AWS)


def _hash(data: Any, algorithm: str) -> str:
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return hashlib.new(HASHES[algorithm], text.encode(), usedforsecurity=False).hexdigest()


def _random(seed: Any = None) -> float:
    return random.random() if seed is None else random.Random(seed).random()


# $eval is the one of JSONata's own functions that Step Functions does not offer.
FUNCTIONS: dict[str, Any] = {
    "partition": _partition,
    "range": _range,
    "hash": _hash,
    "random": _random,
    "uuid": lambda: str(uuid.uuid4()),
    "parse": lambda text: json.loads(text),
}
