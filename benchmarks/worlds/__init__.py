"""Generated worlds of fictitious authors, and the models trained on them."""
