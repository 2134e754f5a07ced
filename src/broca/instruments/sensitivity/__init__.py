"""Which weights does an ability hang on?"""
