"""Would the methods find what is there?"""
