"""Recordings in the containers of others: samples of tars, rows of datasets.

facts.py        sampling rate, leads and unit as a sample states them
row_records.py  a row becomes a record
rows.py         rows of a Hugging Face dataset, on disk or streamed from the Hub
samples.py      a sample of a tar becomes a record
settings.py     names of fields, of tars and of splits
table.py        the fields of all samples as one table
tar_files.py    tars, plain or gzipped, and the members of each sample
"""
