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
final.py           the final evaluation of a run on the test split
main.py            entry point
networks/          networks (nn.Module), nothing else
openings.py        log of when the test split was opened, and how often
overwriting.py     results are replaced only where that was asked for
prediction/       saved models on recordings: predictions, embeddings, similar recordings
processes.py       start of a command's processes, and work of the main one
protocols/         one encoder under the protocols of published studies
recalibration/     a classifier's probabilities and thresholds, fitted to a place
releasing/         a trained model becomes a release: made, checked, uploaded
reports/           the report of a run: page, sections, figures
run.py             one run: data, candidates, training, evaluation, report
run_settings.py    settings that most verbs share
serving/           a page in the browser and an HTTP interface
settings.py        settings of a run
training/          probes, embeddings and fine-tuning
"""
