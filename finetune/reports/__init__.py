"""What a run shows: sections of figures and tables, on one page."""
