"""Metrics of unlearning: pure functions over arrays and strings, one noun per file; only `scoring` runs a model.

Notation: T tokens of an answer, length-normalised loss l = -(1/T) sum log p(token), natural logarithms throughout.
"gold" is a model trained without what must be forgotten.
"""
