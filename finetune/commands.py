"""What finetune/main.py does beside one run: each command by its name."""

from collections.abc import Callable, Sequence

from accelerate import Accelerator

from finetune.anomaly.evaluate import evaluate_detector
from finetune.anomaly.run import detect
from finetune.anomaly.run_settings import (
    AnomalyEvaluateSettings,
    AnomalyScoreSettings,
    AnomalySettings,
)
from finetune.anomaly.score_file import score_file
from finetune.classifiers.export_onnx import export
from finetune.classifiers.predict import precision_of, predict
from finetune.classifiers.settings import ExportSettings, PredictSettings
from finetune.comparison.run import compare_runs
from finetune.comparison.settings import CompareSettings
from finetune.cross_validation.run import cross_validate_cohort
from finetune.cross_validation.settings import CrossValidateSettings
from finetune.protocols.settings import ProtocolsSettings
from finetune.protocols.table import tabulate_protocols
from lamae.config import settings_from_command_line
from lamae.errors import InputError
from lamae.training.threads import use_cores


def start(precision: str) -> Accelerator:
    """Return the accelerator of a precision, fp32 or bf16."""
    return Accelerator(mixed_precision={"fp32": "no", "bf16": "bf16"}[precision])


def _cross_validate(arguments: Sequence[str]) -> list[str]:
    settings = settings_from_command_line(CrossValidateSettings, arguments)
    cross_validate_cohort(settings, start(settings.precision))
    return []


def _protocols(arguments: Sequence[str]) -> list[str]:
    settings = settings_from_command_line(ProtocolsSettings, arguments)
    tabulate_protocols(settings, start(settings.precision))
    return []


def _compare(arguments: Sequence[str]) -> list[str]:
    settings = settings_from_command_line(CompareSettings, arguments)
    _alone(cpu_threads=None)
    return compare_runs(settings)


def _predict(arguments: Sequence[str]) -> list[str]:
    settings = settings_from_command_line(PredictSettings, arguments)
    accelerator = start(precision_of(settings))
    use_cores(accelerator, settings.cpu_threads)
    told = predict(settings, accelerator)
    return [told] if accelerator.is_main_process else []


def _export(arguments: Sequence[str]) -> list[str]:
    settings = settings_from_command_line(ExportSettings, arguments)
    _alone(cpu_threads=None)
    return [export(settings)]


def _anomaly(arguments: Sequence[str]) -> list[str]:
    settings = settings_from_command_line(AnomalySettings, arguments)
    return detect(settings, _alone(settings.cpu_threads).device)


def _anomaly_evaluate(arguments: Sequence[str]) -> list[str]:
    settings = settings_from_command_line(AnomalyEvaluateSettings, arguments)
    return evaluate_detector(settings, _alone(settings.cpu_threads).device)


def _anomaly_score(arguments: Sequence[str]) -> list[str]:
    settings = settings_from_command_line(AnomalyScoreSettings, arguments)
    return [score_file(settings, _alone(settings.cpu_threads).device)]


def _alone(cpu_threads: int | None) -> Accelerator:
    """Start one process; raises InputError where there are several."""
    accelerator = start("fp32")
    if accelerator.num_processes > 1:
        raise InputError(
            "processes",
            value=str(accelerator.num_processes),
            expected="one",
            remedy="Launch with --num_processes 1; a GPU or several threads serve it.",
        )
    use_cores(accelerator, cpu_threads)
    return accelerator


COMMANDS: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "cross_validate": _cross_validate,
    "compare": _compare,
    "protocols": _protocols,
    "predict": _predict,
    "export": _export,
    "anomaly": _anomaly,
    "anomaly_evaluate": _anomaly_evaluate,
    "anomaly_score": _anomaly_score,
}
"""By name, what takes the arguments behind it and returns sentences to show."""
