"""The methods: corrupted embeddings, activation edits, logit differences, and the engines that run them."""
