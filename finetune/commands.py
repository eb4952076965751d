"""The verbs of finetune/main.py: settings, function and example of each."""

from lamae.commands import Verb

VERBS: dict[str, Verb] = {
    "train": Verb(
        settings="finetune.settings:FinetuneSettings",
        run="finetune.run:finetune",
        summary="Train a classifier and evaluate it beside its baselines.",
        example="configs/finetune/local.yaml encoder=<run> data=<shards> run_dir=<folder>",
    ),
    "cross_validate": Verb(
        settings="finetune.cross_validation.settings:CrossValidateSettings",
        run="finetune.cross_validation.run:cross_validate_cohort",
        summary="Cross-validate a classifier and its baselines by patient.",
        example="configs/finetune/brugada_huca_probe.yaml encoder=<run> data=<shards> "
        "run_dir=<folder>",
    ),
    "compare": Verb(
        settings="finetune.comparison.settings:CompareSettings",
        run="finetune.comparison.run:compare_runs",
        summary="Compare finished runs on the recordings that all evaluated.",
        example="runs=[<run>,<another>] run_dir=<folder>",
    ),
    "protocols": Verb(
        settings="finetune.protocols.settings:ProtocolsSettings",
        run="finetune.protocols.table:tabulate_protocols",
        summary="Probe an encoder under the protocols of published studies.",
        example="encoder=<run> data=<shards> run_dir=<folder>",
    ),
    "predict": Verb(
        settings="finetune.classifiers.settings:PredictSettings",
        run="finetune.classifiers.predict:predict",
        summary="Write what a saved classifier predicts for the recordings of any shards.",
        example="classifier=<run> data=<shards> output=<file.csv>",
    ),
    "export": Verb(
        settings="finetune.classifiers.settings:ExportSettings",
        run="finetune.classifiers.export_onnx:export",
        summary="Write a saved classifier as an ONNX file, in float32 or 8 bits.",
        example="classifier=<run> output=<file.onnx> int8=true data=<shards>",
    ),
    "anomaly": Verb(
        settings="finetune.anomaly.run_settings:AnomalySettings",
        run="finetune.anomaly.run:detect",
        summary="Train a detector of abnormal recordings on normal ones, and evaluate it.",
        example="configs/finetune/anomaly_cae.yaml data=<shards>",
    ),
    "anomaly_evaluate": Verb(
        settings="finetune.anomaly.run_settings:AnomalyEvaluateSettings",
        run="finetune.anomaly.evaluate:evaluate_detector",
        summary="Evaluate a saved detector on other labelled shards.",
        example="detector=<run> data=<shards> run_dir=<folder> label_set=superclass "
        "normal_class=NORM",
    ),
    "anomaly_score": Verb(
        settings="finetune.anomaly.run_settings:AnomalyScoreSettings",
        run="finetune.anomaly.score_file:score_file",
        summary="Write the scores of a saved detector for the recordings of any shards.",
        example="detector=<run> data=<shards> output=<file.csv>",
    ),
}
"""Each verb by its name; the first is done where none is named."""
