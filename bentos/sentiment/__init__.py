"""The room of `sentiment`: is a sentence for or against what it speaks of?"""
