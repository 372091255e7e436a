"""/opt/ml as a job sees it: the literal path, or where that cannot be, a folder of its own named by SAGEMAKER_BASE_DIR.

AWS's contract names literal paths. In the second case the job's own folder takes the place of /opt/ml wherever that is
handed to a container (arguments, entrypoint, environment, hyperparameters).
"""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from local_cloud.sagemaker.support import invalid

OPT_ML = PurePosixPath("/opt/ml")
_LITERAL = re.compile(r"(?<![\w./-])/opt/ml(?![\w-])")


def relocated(text: str, base: Path) -> str:
    """`text` with the literal /opt/ml replaced by the job's own folder."""
    return _LITERAL.sub(lambda _: str(base), text)


def relocated_values(values: Mapping[str, str], base: Path) -> dict[str, str]:
    return {key: relocated(value, base) for key, value in values.items()}


def base_variables(literal: Path) -> dict[str, str]:
    """Where a container finds its tree, in the words of AWS's toolkit; nothing where that is /opt/ml, as on AWS."""
    return {} if literal == Path(OPT_ML) else {"SAGEMAKER_BASE_DIR": str(literal)}


def inside(local_path: str, base: Path, field: str) -> Path:
    """The folder of a job that an absolute container path below /opt/ml names; refuses all others."""
    path = PurePosixPath(local_path)
    if not path.is_relative_to(OPT_ML) or ".." in path.parts:
        raise invalid(
            f"{field} is {local_path!r}; the local cloud keeps everything of a job in one folder, so a path below "
            f"{OPT_ML} is needed."
        )
    return base.joinpath(*path.relative_to(OPT_ML).parts)
