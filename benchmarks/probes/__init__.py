"""Probe families: transforms of a question that an adversary would try."""
