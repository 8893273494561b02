"""The leakage benchmark: what a server still tells, against the exact model that never knew."""
