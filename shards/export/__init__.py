"""A corpus in the formats of others, and on the Hugging Face Hub.

card.md.j2     text of a dataset card
card.py        dataset card: README.md with the Hub's YAML
croissant.py   croissant.json: what the files hold, for machines
parquet.py     a folder of Parquet that datasets opens with typed columns
run.py         one corpus in one format
settings.py    settings of export and upload
tars.py        tars that webdataset reads with its own decoders
upload.py      a folder to the Hub
"""
