"""Recordings of each data set, with their patients and labels.

brugada.py       Brugada-HUCA
challenge.py     PhysioNet/CinC Challenge
code15.py        CODE-15%
cpsc2018.py      CPSC 2018
folder.py        a user's own folder
hdf5.py          any HDF5 files
huggingface.py   datasets of Hugging Face
join.py          recordings and rows of tables
kinds.py         the kinds, and how each is listed
mimic.py         MIMIC-IV-ECG
packed.py        samples with fields, joined with these or with a table
people.py        people as the files of hospitals state them
ptbxl.py         PTB-XL
webdataset.py    tars in WebDataset's convention
"""
