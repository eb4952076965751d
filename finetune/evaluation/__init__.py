"""Operating points, measures, results by group, and the leads a classifier needs.

assessment.py            all measures of a run
challenge_measures.py    measures of the PhysioNet/CinC Challenges
cohort.py                who was learnt from and asked about, and the flow of recordings
decision_measures.py     measures of decisions and of probabilities
group_results.py         results by age, sex and other facts about recordings
lead_masking.py          scores of the same recordings with leads masked
occlusion.py             parts of recordings that a classifier rests on, and the deletion test
operating_points.py      thresholds from held-out patients
probability_measures.py  calibration line and decision curve
proportion_measures.py   sensitivity, specificity, PPV and NPV, with exact intervals
ranking_measures.py      AUROC and average precision, on the same resamples of patients
recording_facts.py       facts about recordings, by which they are grouped
rule_results.py          thresholds by stated rules, and what they cost
"""
