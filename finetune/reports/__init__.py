"""The report of a run: page, sections, figures.

assessment_sections.py  sections on the measures of a run
error_examples.py       the surest errors on ECG paper
findings.py             findings of a run in sentences
lead_figures.py         measures by lead and class
lead_sections.py        sections on leads, weights and gates
page.html.j2            template of the page
page.py                 one HTML file
reconstruction.py       a picture of the autoencoder's reconstruction
results.py              results of a run as files
score_figures.py        ROC, precision-recall, reliability, confusion
score_sections.py       sections that show them
sections.py             sections, figures and tables, on the page and as files
"""
