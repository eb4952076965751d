"""Tables of labels, as spreadsheets and data frames leave them.

cells.py          one cell: an identifier, a number, a truth value, or nothing
classes.py        cells become the classes of label sets
columns.py        columns that name recordings, patients, folds, labels and the rest
label_row.py      one row: patient, labels and split of a recording
label_table.py    a user's table by row
labelled_rows.py  a user's table in columns
match.py          rows beside the recordings that they name
places.py         rows of tables in the order of the recordings
read_table.py     rows of a CSV file of any separator and encoding
"""
