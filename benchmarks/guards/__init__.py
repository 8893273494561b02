"""The guards, measured without HTTP: recall by way of asking, false positives, fleets of policies, flips and speed."""
