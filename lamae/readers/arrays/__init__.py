"""Arrays in files: .npy, .csv, HDF5 and MATLAB.

array_files.py   .npy and .csv
array_layout.py  facts that arrays do not state of the recordings in them
csv_layout.py    the lines above the samples of a .csv file
hdf5_chunks.py   packed chunks of HDF5, bounded by their size
hdf5_files.py    HDF5, without links that lead out of the file
icbeb.py         CPSC 2018's original MATLAB files
mat5.py          structs in MATLAB files, bounded by the bytes of the file
"""
