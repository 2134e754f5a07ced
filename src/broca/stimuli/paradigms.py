"""The papers that a contrast owes its paradigm to, cited in its `source`."""

from __future__ import annotations

BELIEF = "Dodell-Feder, Koster-Hale, Bedny & Saxe (2011), NeuroImage 55; after Saxe & Kanwisher (2003), NeuroImage 19"
LANGUAGE = "Fedorenko, Hsieh, Nieto-Castanon, Whitfield-Gabrieli & Kanwisher (2010), Journal of Neurophysiology 104"
MULTIPLE_DEMAND = "Fedorenko, Duncan & Kanwisher (2013), PNAS 110; Duncan (2010), Trends in Cognitive Sciences 14"
PAIN = "Bruneau, Pluta & Saxe (2012), Neuropsychologia 50; Jacoby, Bruneau, Koster-Hale & Saxe (2016), NeuroImage 126"
SHOTS = "Todd, Li, Sen Sharma, Mueller, Wallace & Bau (2024), ICLR, arXiv 2310.15213, who shuffle the answers of examples likewise"
INDUCTION = "Olsson, Elhage, Nanda et al. (2022), Transformer Circuits, arXiv 2209.11895: heads that look for what followed before"
AGREEMENT = "Linzen, Dupoux & Goldberg (2016), TACL 4; Marvin & Linzen (2018), EMNLP"
SENTIMENT = "Tigges, Hollinsworth, Geiger & Nanda (2023), arXiv 2310.15154, who find sentiment along a direction"
FORMALITY = "Rao & Tetreault (2018), NAACL: formal and informal sentences that say the same"
