"""Files that lie elsewhere.

attempts.py      calls that are tried again
cache.py         files of a store, whole and checked on this machine
cache_folder.py  a folder of files under their checksums, shared by all processes
locations.py     folders and URLs
store.py         a remote folder through fsspec
"""
