"""WFDB records, as PhysioNet keeps them.

header.py        text headers
header_files.py  files that headers name
record_files.py  a header with all its files
segment.py       one header with its signal files
segments.py      records of several segments, with gaps
signals.py       the binary signal files
"""
