"""Can the reasoning tree be read from attention, and is it the way to the answer?"""
