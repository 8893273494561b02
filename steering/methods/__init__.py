"""Fitting: from a policy and a model to a program."""
