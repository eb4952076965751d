"""Terms of the loss beside the error of hidden patches.

feature_targets.py  features of the signal as targets beside its samples
lead_alignment.py   the term that aligns the leads of a recording
limb_algebra.py     hidden limb leads by Einthoven's and Goldberger's equations
"""
