"""Raw recordings become shards.

build/         entries become a corpus of shards
describe/      a corpus as a page: counts, quality, examples
export/        a corpus in the formats of others, and on the Hub
foreign/       recordings in the containers of others: tars and datasets
hdf5/          shards to HDF5, and HDF5 to shards
remote/        shards from recordings that lie elsewhere
simulator/     recordings with known truth, computed
sources/       recordings of each data set, with their patients and labels
tables/        tables of labels, as spreadsheets leave them
verify/        every byte of a corpus, checked
commands.py    what each verb does, and says
entries.py     what a source lists: recordings and rejects
identity.py    names left out, and hashed ids
inspection.py  a source as it would be read
locks.py       locks between processes, on any file system
main.py        entry point: a command line becomes one of the commands
processes.py   tasks that several processes share
rejects.py     the list of what was rejected
repeated.py    texts that come more than once among millions
settings.py    its settings
sharing/       splits for others, and recordings that two corpora share
show.py        what the program says on the terminal
unread.py      files of a source that are no recordings
"""
