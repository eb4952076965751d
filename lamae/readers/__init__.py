"""Files of many formats become records.

array_files.py   .npy and .csv
array_layout.py  what arrays do not say of the recordings in them
hdf5_files.py    HDF5, without what could lead out of the file
icbeb.py         CPSC 2018's original MATLAB files
mat5.py          structs in MATLAB files, bounded by what the file holds
quantise.py      floats become integers, without loss where they have a step
wfdb_files.py    both together
wfdb_header.py   the text header of a WFDB record
wfdb_signals.py  its signal files
"""
