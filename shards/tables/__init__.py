"""Tables of labels, as spreadsheets and data frames leave them.

cells.py        one cell: an identifier, a number, a truth value, or nothing
classes.py      cells become the classes of label sets
columns.py      columns that name recordings, patients, folds, labels and the rest
label_table.py  a user's table: patients, labels and splits by recording
match.py        rows beside the recordings that they name
read_table.py   rows of a CSV file of any separator and encoding
"""
