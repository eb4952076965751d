"""An ECG: its leads, one recording, its signals, and the part of it that a model reads.

amplitude.py     the amplitude of a recording, and what a wrong one says of its unit
leads.py         names, order and groups of the twelve leads, and the algebra of the limb leads
measurements.py  heart rate, intervals and axis, with neurokit2
preprocess.py    from a record to the array a model reads; saved with the weights
record.py        one recording, as its file has it
signals.py       resample, band-pass, crop, fill gaps
units.py         units of voltage, under the names that files give them
windows.py       where the windows of long recordings begin
"""
