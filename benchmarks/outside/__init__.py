"""Evaluation tools of other people, unchanged, against the gateway: what their users see when a policy is in force."""
