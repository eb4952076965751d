"""ECG paper, reconstructions and HTML pages.

clinical.py                3 x 4 leads and a rhythm strip, with header line
pages.py                   HTML pages from templates
plots.py                   ECG paper, learning curves, intervals
reconstruction_picture.py  a reconstruction on ECG paper
"""
