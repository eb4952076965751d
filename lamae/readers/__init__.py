"""Files of many formats become records.

any_file.py       a recording in a file of any format
arrays/           .npy, .csv, HDF5 and MATLAB
formats.py        the formats, and how each is told by its first bytes
hospital/         formats that hospitals and recorders export
quantise.py       floats become integers, without loss where they have a step
read_options.py   a user's word, which goes before that of the files
record_from.py    a record of an array or data frame in memory
regular_files.py  regular files within a size, and the encoding of text
traces.py         leads of any rate, width and scale become one record
wfdb/             WFDB records
"""
