"""The embedded engine on transformers: the reference of the methods, what they are fitted on, and a small server."""
