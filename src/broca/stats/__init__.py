"""Arrays in, arrays out. Nothing here knows what a model is.

* welch         Welch and paired t from moments or samples, differences of means with their intervals
* corrections   Benjamini-Hochberg, Holm, and the share of a chosen set that is surely true
* reliability   split halves, Spearman-Brown, overlap of selections and what chance would give
* paired        McNemar, clustered bootstrap, sign flips
* permutation   label permutation of two samples, per unit and family-wise
* nulls         empirical p and bands from draws
* intervals     the value, low, high that all of them return
"""
