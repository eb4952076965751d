"""Shards to HDF5, and HDF5 to shards.

export.py       shards as one HDF5 file
import_file.py  and back
settings.py     files and folders
sink.py         a file that keeps faults of the disk from HDF5
"""
