"""A corpus as a page: counts, quality, examples.

about.py      facts about recordings and patients
examples.py   examples of flags and rejects
figures.py    bars, ranges, histograms
page.html.j2  the template of the page
page.py       what is inside, as JSON and a page
settings.py   of what, and how much
signals.py    amplitudes and Einthoven's residual
"""
