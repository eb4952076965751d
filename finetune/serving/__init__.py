"""A page in the browser and an HTTP interface, for one recording at a time.

answers.py         answers, as the schema of the interface describes them
app.py             the HTTP interface and the page before it
deviation.py       deviations from what a model expects
examination.py     the work behind an answer
guard.py           own hosts and pages only, a token, safe headers
lead_taking.py     the answer without some leads
page/              HTML, style sheets and script of the page
paper.py           ECG paper as SVG
readings.py        facts of a recording that was read
report.html.j2     template of the report
report.py          the answer as one HTML file to keep
run.py             the server from its start to Ctrl-C
settings.py        settings of the server
similar.py         the most similar recordings of a reference
upload.py          a request's body becomes a recording
worker.py          one thread for all heavy work, with few places before it
"""
