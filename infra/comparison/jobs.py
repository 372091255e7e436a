"""The jobs of a comparison, declared as those of the pipeline are: infra/workflow/job.py.

`S` is the comparison's own folder; a candidate works in `S/candidates/<name>/`, and what is measured of it outlives the execution in
`comparisons/<key>/<name>/`. Its candidates are measured in PyTorch and most are traced in it: all but the serving side runs in the image
that has it.
"""

from __future__ import annotations

from contract.names import WITH_PYTORCH
from infra.workflow import requests
from infra.workflow.job import Folder, ProcessingJob, TrainingJob, folders

PREPARED = ("plan", "prepared", "photos", "test", "asked")
SECOND = ("second", "second-test")
EXTRACTED = ("features", "weights", "extraction")
# Inside a Map: `$.names` are the candidate's own, `$.shared` those of the comparison.
RESULTS = "States.Format('{}/{}/', $.shared.results, $.candidate.name)"
ASKED = ("model", "image_size", "pretrained", "seed", "flip_view")


def shared(name: str) -> Folder:
    """A folder of the comparison, as seen from inside a Map."""
    return Folder(name, uri=f"States.Format('{{}}/{name}/', $.shared.uri)")


def prepare(second: bool) -> ProcessingJob:
    """The photos once for all candidates, and what to train; perhaps a second set to judge them on."""
    datasets = (
        Folder("dataset", uri="$.input.dataset", outside=True),
        Folder("second-dataset", uri="$.input.evaluate_on", outside=True),
    )
    return ProcessingJob(
        "Prepare both sets" if second else "Prepare photos", "prepare", role="compare-prepare", image=WITH_PYTORCH,
        machine="prepare", limit="prepare", command=("training_code", "prepare-comparison"),
        reads=(Folder("input", channel="request", at="request"), *datasets[: 1 + second]),
        writes=folders(*PREPARED, *(SECOND if second else ())),
    )  # fmt: skip


EXTRACT = ProcessingJob(
    "Extract features", "extract", role="compare-extract", image=WITH_PYTORCH, machine="prepare", limit="prepare",
    command=("training_code", "extract"),
    arguments="States.Array('extract', "
    + ", ".join(f"'--{name.replace('_', '-')}', $.candidate.hyperparameters.{name}" for name in ASKED)
    + ")",
    reads=(shared("photos"),),
    writes=tuple(
        Folder(f"candidates/*/{name}", uri=requests.in_execution(f"{name}/"), channel=name, at=f"{requests.OUTPUT}/{name}")
        for name in EXTRACTED
    ),
)  # fmt: skip
TRAIN = TrainingJob(
    "Train candidate", "train", role="training", image=WITH_PYTORCH, machine="training", limit="training",
    command=("training_code", "train"),
)  # fmt: skip


def benchmark(second: bool) -> ProcessingJob:
    """On the serving image and machine: the candidate as it would be served, so that what is measured is priced as that machine."""
    trained = "States.Format('{}/training/{}/output/', $.item.names.uri, $.item.job)"
    extracted = "States.Format('{}/extraction/', $.item.names.uri)"
    return ProcessingJob(
        "Benchmark on both sets" if second else "Benchmark", "bench", role="compare-benchmark", image="inference",
        machine="transform", limit="analysis", command=("inference_code.benchmark",),
        arguments="States.Array('--times', $.item.times)",
        reads=(
            Folder("candidates/*/training", uri=trained, channel="training", at="training"),
            Folder("candidates/*/extraction", uri=extracted, channel="extraction", at="extraction"),
            *(shared(name) for name in ("test", "prepared", "photos", *(("second-test", "second") if second else ()))),
        ),
        writes=(Folder("benchmark", uri=RESULTS, outside=True),),
    )  # fmt: skip


COMPARE = ProcessingJob(
    "Compare", "compare", role="compare-compare", image="analysis", machine="analysis", limit="analysis",
    command=("analysis_code", "compare"),
    arguments="States.Array('compare', '--test-uri', States.Format('{}/test/', $.names.uri))",
    reads=(
        *folders("asked", "prepared"),
        Folder("candidates", uri="States.Format('{}/', $.shared.results)", outside=True),
    ),
    writes=folders("comparison"),
)  # fmt: skip
JOBS = (prepare(second=True), EXTRACT, TRAIN, benchmark(second=True), COMPARE)
