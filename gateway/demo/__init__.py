"""The demonstration: a real engine, a real gateway, held-out questions, both answers side by side."""
