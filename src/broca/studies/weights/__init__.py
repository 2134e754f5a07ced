"""What the sensitivity study is made of: samples, rankings, masks, conditions, rungs, profiles, and the steps in order."""
