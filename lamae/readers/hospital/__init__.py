"""Formats that hospitals and recorders export, which need `pip install 'lamae[hospital]'`.

Names, dates of birth and comments in these files are never kept nor repeated in an error.

aecg_xml.py       HL7 annotated ECG
channels.py       channels as these files describe them become a reading
dicom.py          DICOM waveforms
edf.py            EDF, EDF+ and BDF
muse_xml.py       GE MUSE
other_formats.py  SCP-ECG, ISHNE, MFER and Kardia, by ecgdatakit
person.py         age, sex and time as these files write them
sierra_xml.py     Philips Sierra
xml_tree.py       XML of a stranger
"""
