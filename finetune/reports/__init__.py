"""The report of a run: page, sections, figures.

assessment_sections.py  sections on the measures of a run
checklist.py            where a report answers each item of TRIPOD+AI
cohort_section.py       in plain words, the cohort, and the flow of recordings
ecgs/                   single recordings on ECG paper
findings.py             findings of a run in sentences
group_section.py        results by group, and their forest plot
lead_figures.py         measures by lead and class
lead_sections.py        sections on leads, weights and gates
page.html.j2            template of the page
page.py                 one HTML file
reconstruction.py       a picture of the autoencoder's reconstruction
results.py              results of a run as files
score_figures.py        ROC, precision-recall, reliability, confusion
score_sections.py       sections that show them
sections.py             sections, figures and tables, on the page and as files
style.css.j2            style sheet of the page, shared with that of serving/
use_sections.py         thresholds by rule with what they cost, and net benefit
"""
