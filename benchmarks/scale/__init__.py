"""Many policies, entangled facts, other languages: what of the leakage benchmark changes with them."""
