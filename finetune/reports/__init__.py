"""The report of a run: page, sections, figures.

assessment_sections.py  the sections on the measures of a run
error_examples.py       the surest errors on ECG paper
findings.py             what was found, in sentences
lead_figures.py         what leads are worth, by class
lead_sections.py        the sections on leads, weights and gates
page.html.j2            its template
page.py                 one HTML file
reconstruction.py       a picture of what the autoencoder reconstructs
results.py              what a run leaves
score_figures.py        ROC, precision-recall, reliability, confusion
score_sections.py       the sections that show them
sections.py             sections, figures and tables, on the page and as files
"""
