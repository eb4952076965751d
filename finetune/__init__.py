"""An encoder and labelled shards become a diagnosis model and a report.

anomaly/           detectors of abnormal recordings, trained on normal ones only
classifiers/       a classifier: built, used, saved, exported
commands.py        the verbs: settings, function and example of each
comparison/        a report of several finished runs
cross_validation/  nested cross-validation by patient
data/              recordings of a task, their labels and patients
encoders/          encoders of others, described in YAML
evaluation/        operating points, measures, and the leads a classifier needs
experiment/        a classifier and its baselines: trained, scored, resumed
main.py            entry point
networks/          networks (nn.Module), nothing else
overwriting.py     results are replaced only where that was asked for
processes.py       start of a command's processes, and work of the main one
protocols/         one encoder under the protocols of published studies
reports/           the report of a run: page, sections, figures
run.py             one run: data, candidates, training, evaluation, report
run_settings.py    settings that most verbs share
settings.py        settings of a run
training/          probes, embeddings and fine-tuning
"""
