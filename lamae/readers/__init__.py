"""Files of many formats become records.

any_file.py       a recording in a file of any format
array_files.py    .npy and .csv
array_layout.py   facts that arrays do not state of the recordings in them
csv_layout.py     the lines above the samples of a .csv file
formats.py        the formats, and how each is told by its first bytes
hdf5_chunks.py    packed chunks of HDF5, bounded by their size
hdf5_files.py     HDF5, without links that lead out of the file
hospital/         formats that hospitals and recorders export
icbeb.py          CPSC 2018's original MATLAB files
mat5.py           structs in MATLAB files, bounded by the bytes of the file
quantise.py       floats become integers, without loss where they have a step
read_options.py   a user's word, which goes before that of the files
record_from.py    a record of an array or data frame in memory
regular_files.py  regular files within a size, and the encoding of text
traces.py         leads of any rate, width and scale become one record
wfdb_files.py     WFDB records
wfdb_header.py    their text headers
wfdb_segment.py   one header with its signal files
wfdb_segments.py  records of several segments, with gaps
wfdb_signals.py   the binary signal files
"""
