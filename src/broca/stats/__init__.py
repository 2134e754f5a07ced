"""Arrays in, arrays out. Nothing here knows what a model is.

* mean_tests    Welch and paired t from moments or samples, differences of means with their intervals
* corrections   Benjamini-Hochberg, Holm, and the share of a chosen set that is surely true
* true_discoveries  the same share, calibrated by permutations
* discriminant  a head's linear-discriminant t, and that of every other arrangement of its stimuli
* answer_lots   the share of chosen weights in a summed gradient, against that with answers by lot
* exchange      which stimuli, groups or pairs may trade places, and whether there are enough of them
* permutation   max-T: p per unit, and family-wise, over shuffled labels or flipped signs
* sums          sums over groups that are exact, so that no result depends on how the work was cut
* confounds     values without what covariates (length, position) explain of them
* reliability   split halves, Spearman-Brown, rank agreement, overlap of selections and what chance would give
* stability     overlap of the selections that resampled stimuli make
* pairs         McNemar, clustered bootstrap, sign flips, differences between abilities
* shuffle       a difference of means, its groups shuffled: p and interval
* loss          what a lesion takes from an ability: passed, failed, undecided, and what would decide it
* balance       weights under which every answer counts equally
* specificity   does a lesion cost one ability more than another: share lost and log-odds
* halves        one ability parted in two: by intact margin, by the values of its answers
* collapse      whether answers fall on one value, whatever is asked
* near_duplicates  texts that are nearly the same
* robust        drop and flip rates, consistency over wordings, the noise floor of seeds
* nulls         empirical p, bands and dose-response areas from draws
* probing       small classifiers on features of grouped rows: folds, out-of-fold predictions, control tasks
* stopping      when random draws are enough
* hou2023       the same as the code of Hou et al. (2023) scores it
* f1            macro-F1, probing scores and their intervals from confusion counts
* logit         logistic regression with clustered errors
* degenerate    figures that are the same in every layer, or a number of tokens in disguise
* massive       coordinates that carry massive activations
* power         how probable it is that a number of stimuli or items shows an effect
* ladder_power  how likely a stated loss passes causal and specific
* ladder_needs  what would make it so
* intervals     the value, low, high that all of them return
"""

from __future__ import annotations

from broca.lazy import lazy_names

__getattr__, __dir__ = lazy_names(__name__, __file__)
