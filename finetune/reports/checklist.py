"""Checklist of TRIPOD+AI (Collins et al., BMJ 2024): where a report answers each item."""

from finetune.reports.sections import NamedTable, Section

USER = "yours to answer"
"""Said of an item that no program can know."""

ITEMS = (
    ("1", "Title: kind of study, outcome, population", USER),
    ("2", "Abstract", USER),
    ("3a", "Healthcare context and rationale", USER),
    ("3b", "Target population and intended use", f"In plain words, and {USER}"),
    ("3c", "Known health inequalities", USER),
    ("4", "Objectives", "In plain words"),
    ("5a", "Sources of data", f"Cohort; How it was made; {USER} where they come from"),
    ("5b", "Dates of data", f"Cohort, where the shards hold dates; else {USER}"),
    ("6a", "Setting and centres", f"Cohort, where the shards hold sites; else {USER}"),
    ("6b", "Eligibility", f"Cohort, flow of recordings; {USER} for the source"),
    ("6c", "Treatments received", USER),
    ("7", "Data preparation and quality", "Cohort, flags and flow; How it was made, preprocess"),
    ("8a", "Outcome and how it was assessed", f"Cohort, classes; {USER} for the labelling"),
    ("8b", "Assessors of the outcome", USER),
    ("8c", "Blinding of the outcome", USER),
    ("9", "Predictors", "How it was made: leads, sampling rate and window of preprocess"),
    ("10", "Sample size", f"Cohort; intervals throughout; {USER} for a calculation beforehand"),
    ("11", "Missing data", "Cohort, missing and left out by reason"),
    ("12a", "Use of data, partition", "Cohort; Leakage audit"),
    ("12b", "Handling of predictors", "How it was made, preprocess"),
    ("12c", "Type of model, building, tuning", "How it was made, mode and training"),
    ("12d", "Heterogeneity between groups", "Results by group"),
    ("12e", "Measures of performance", "Diagnosis; Decisions; Calibration; Net benefit"),
    ("12f", "Model updating", "none was done here; the verb recalibrate does"),
    ("12g", "How predictions are calculated", "How it was made; classifier/ beside the report"),
    ("13", "Class imbalance", "Cohort, classes; How it was made, loss; Calibration"),
    ("14", "Fairness", f"Results by group; {USER} for what follows"),
    ("15", "Output of the model and thresholds", "Decisions; Thresholds by rule"),
    ("16", "Differences of training and evaluation", "Cohort, both columns; Leakage audit"),
    ("17", "Ethical approval", USER),
    ("18a-d", "Funding, conflicts, protocol, registration", USER),
    ("18e", "Sharing of data", USER),
    ("18f", "Sharing of code", "How it was made: command, versions, settings"),
    ("19", "Patient and public involvement", USER),
    ("20a", "Flow of participants", "Cohort, flow of recordings"),
    ("20b", "Characteristics of participants", "Cohort"),
    ("20c", "Comparison of development and evaluation", "Cohort, both columns"),
    ("21", "Participants and events in each analysis", "Cohort, classes"),
    ("22", "Full model", "classifier/ beside the report"),
    ("23a", "Performance with intervals", "Diagnosis; Decisions; Calibration; Net benefit"),
    ("23b", "Heterogeneity of performance", "Results by group"),
    ("24", "Results of model updating", "none was done here"),
    ("25", "Interpretation, fairness", f"In plain words, and {USER}"),
    ("26", "Limitations", f"In plain words, and {USER}"),
    ("27a", "Poor or missing input when used", "Leads, with lead_masking=true; else unanswered"),
    ("27b", "Interaction of users, expertise needed", USER),
    ("27c", "Next steps, generalisability", USER),
)
"""Number, subject, and the sections that answer it; the wording is abridged."""


def checklist_section() -> Section:
    """Tabulate where each item of TRIPOD+AI is answered, and which are the user's."""
    text = [
        "Items of TRIPOD+AI (Collins et al., BMJ 2024;385:e078378), abridged, with the sections of "
        "this report that hold what is needed. An item that is yours is one that no program knows."
    ]
    columns = ["Item", "Subject", "Answered in"]
    return Section("Checklist", text, tables=[NamedTable("checklist", "TRIPOD+AI", columns, ITEMS)])
