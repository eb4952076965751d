"""Raw recordings become shards.

build/         entries become a corpus of shards
checks/        tests of whether a recording can be true
describe/      a corpus as a page: counts, quality, examples
hdf5/          shards to HDF5, and HDF5 to shards
remote/        shards from recordings that lie elsewhere
simulator/     recordings with known truth, computed
sources/       recordings of each data set, with their patients and labels
tables/        tables of labels, as spreadsheets leave them
verify/        every byte of a corpus, checked
commands.py    what each verb does, and says
entries.py     what a source lists: recordings and rejects
identity.py    hashed ids
inspection.py  a source as it would be read
locations.py   folders and URLs
main.py        entry point: a command line becomes one of the commands
processes.py   tasks that several processes share
rejects.py     the list of what was rejected
settings.py    its settings
show.py        what the program says on the terminal
"""
