"""ECG paper, reconstructions and HTML pages.

pages.py                   HTML pages from templates
plots.py                   ECG paper, learning curves, intervals
reconstruction_picture.py  a reconstruction on ECG paper
"""
