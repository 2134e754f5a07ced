"""Which units, or heads, does a contrast select?"""
