"""The verbs of finetune/main.py: settings, function and example of each."""

from lamae.commands import Verb

VERBS: dict[str, Verb] = {
    "train": Verb(
        settings="finetune.settings:FinetuneSettings",
        run="finetune.run:finetune",
        summary="Train a classifier and evaluate it beside its baselines.",
        example="configs/finetune/local.yaml encoder=<run> data=<shards> run_dir=<folder>",
    ),
    "final": Verb(
        settings="finetune.run_settings:FinalSettings",
        run="finetune.final:evaluate_finally",
        summary="Evaluate a finished run on the test split, and log that it was opened.",
        example="run=<run>",
        first="run",
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
        settings="finetune.prediction.settings:PredictSettings",
        run="finetune.prediction.predict:predict",
        summary="Put a saved model to one recording, a folder of recordings, or shards.",
        example="model=<run> source=<recording>",
    ),
    "embed": Verb(
        settings="finetune.prediction.settings:EmbedSettings",
        run="finetune.prediction.embed:embed",
        summary="Write the embeddings of recordings.",
        example="model=lamae-cpu.ptbxl source=<folder> output=embeddings.parquet",
    ),
    "similar": Verb(
        settings="finetune.prediction.settings:SimilarSettings",
        run="finetune.prediction.similar:similar",
        summary="Find the most similar recordings of a reference.",
        example="model=lamae-cpu.ptbxl source=<recording> reference=embeddings.parquet",
    ),
    "export": Verb(
        settings="finetune.classifiers.settings:ExportSettings",
        run="finetune.classifiers.export_onnx:export",
        summary="Write a saved classifier as an ONNX file, in float32 or 8 bits.",
        example="classifier=<run> output=<file.onnx> int8=true data=<shards>",
    ),
    "recalibrate": Verb(
        settings="finetune.recalibration.settings:RecalibrateSettings",
        run="finetune.recalibration.run:recalibrate",
        summary="Fit a saved classifier's probabilities and thresholds to labelled recordings.",
        example="model=<run> data=<shards> label_set=superclass output=<folder>",
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
        summary="Write every score of a saved detector for shards; predict gives the deciding one.",
        example="detector=<run> data=<shards> output=<file.csv>",
    ),
    "release": Verb(
        settings="finetune.releasing.settings:ReleaseSettings",
        run="finetune.releasing.release:release",
        summary="Make the folder of a released model: card, licences, results, golden vectors.",
        example="configs/release/lamae_cpu.yaml model=<run> results=<run> output=<folder>",
    ),
    "check": Verb(
        settings="finetune.releasing.settings:CheckSettings",
        run="finetune.releasing.check:check",
        summary="Check a release: complete, of one mind, and giving what it gave when it was made.",
        example="release=<folder>",
        first="release",
    ),
    "upload": Verb(
        settings="finetune.releasing.settings:UploadSettings",
        run="finetune.releasing.upload:upload",
        summary="Upload a release to the Hugging Face Hub, under the tag of its version.",
        example="release=<folder> to=hf://<owner>/<name>",
        first="release",
    ),
    "serve": Verb(
        settings="finetune.serving.settings:ServeSettings",
        run="finetune.serving.run:serve",
        summary="Answer recordings on a page in the browser, and by HTTP.",
        example="model=<run> detector=lamae-cpu.ptbxl port=8400",
    ),
}
"""Each verb by its name; the first is done where none is named."""
