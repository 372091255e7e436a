"""The report job: everything that the steps of a run left becomes `index.html` and `results.json`."""

import argparse
import logging
import shutil
import time
from typing import Any

from analysis_code.report.evaluation import evaluate
from analysis_code.report.inputs import Missing, RunInputs
from analysis_code.report.page import HEALTH_PAGES, write_page
from analysis_code.report.pictures import mistake_pictures
from analysis_code.report.results import results
from analysis_code.report.run import Run
from analysis_code.report.timeline import read_timeline
from analysis_code.report.training import read_decisions, read_epochs, read_search, read_training_job, read_tuning
from contract.failure import base_directory
from contract.whole_file import write_json

log = logging.getLogger("report")


def run(arguments: list[str]) -> None:
    """Read what there is, ask what may be asked, write the page and the numbers."""
    begin = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m analysis_code report", description=__doc__)
    parser.add_argument("--execution-arn", help="the execution, for the timeline")
    parser.add_argument("--tuning-job", help="the tuning job, for its trials")
    parser.add_argument("--training-job", help="the final training job")
    options = parser.parse_args(arguments)
    processing = base_directory() / "processing"
    output = processing / "output" / "report"
    output.mkdir(parents=True, exist_ok=True)

    inputs = RunInputs(processing / "input")
    found = collect(inputs, options.execution_arn, options.tuning_job, options.training_job)
    write_page(output / "index.html", found)
    write_json(output / "results.json", results(found))
    for name in HEALTH_PAGES:
        if (page := inputs.folder / "health" / name).is_file():
            shutil.copyfile(page, output / name)
    unreadable = found.unreadable()
    for name, reason in found.missing().items():
        log.log(logging.ERROR if name in unreadable else logging.INFO, "missing: %s: %s", name, reason)
    log.info("index.html and results.json written after %.1f s", time.monotonic() - begin)


def collect(inputs: RunInputs, execution_arn: str | None, tuning_job: str | None, training_job: str | None) -> Run:
    """The whole run, piece by piece; names given on the command line go before those that the state machine noted."""
    outcome = inputs.json("outcome/outcome.json")
    noted: dict[str, Any] = outcome or {}
    names = noted.get("names") or {}
    written = inputs.json("plan/plan.json")  # whole; what the state machine noted has no names of classes
    plan = written or noted.get("plan") or written
    training, searched = noted.get("training") or {}, noted.get("tuning") or {}
    tuning = searched.get("job")
    trained = searched.get("best_job") if tuning_job is None else None
    in_one_job = ((plan or {}).get("tuning") or {}).get("mode") == "single_job" and not tuning_job
    evaluation = evaluate(inputs.json("evaluation/details.json"), inputs.table("evaluation/predictions.csv"))
    photos = inputs.table("prepared/manifest.csv")
    return Run(
        folder=inputs.folder,
        outcome=outcome,
        plan=plan,
        photos=photos,
        data_report=inputs.json("prepared/data_report.json"),
        tuning=read_search(tuning, training.get("model_data"))
        if in_one_job
        else read_tuning(tuning_job or tuning, trained),
        training_job=read_training_job(training_job or training.get("job")),
        epochs=read_epochs(training.get("model_data")),
        decisions=read_decisions(training.get("model_data")),
        health=inputs.json("health/health.json"),
        explanations=inputs.json("explanations/analysis.json"),
        evaluation=evaluation,
        bias=inputs.json("bias/analysis.json"),
        timeline=read_timeline(execution_arn or names.get("arn")),
        pictures=mistake_pictures(evaluation.mistakes, names.get("uri"), photos)
        if evaluation
        else Missing("no evaluation"),
    )
