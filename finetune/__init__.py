"""An encoder and labelled shards become a diagnosis model and a report.

anomaly/           detectors of abnormal recordings, trained on normal ones alone
classifiers/       a classifier: built, asked, kept on disk, exported
commands.py        its other commands
comparison/        a report of several finished runs
cross_validation/  nested cross-validation by patient
data/              recordings of a task: which, whose, with which labels
encoders/          encoders of others, described in YAML
evaluation/        operating points, measures, and the leads a classifier needs
experiment/        one classifier beside its baselines, and how a run resumes
main.py            entry point: one run
main_process.py    work of the main process alone, whose failure leaves nobody waiting
networks/          networks (nn.Module), nothing else
overwriting.py     results are replaced only where that was asked for
protocols/         one encoder under the protocols of published studies
reports/           the report of a run: page, sections, figures
run_settings.py    settings that most commands share
settings.py        its settings
training/          probes, embeddings and fine-tuning
"""
