"""What breaks when a selection is gone, against matched controls?"""
