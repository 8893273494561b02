"""The vLLM plug-in. Importing this package must not import vLLM (start-up errors there are only logged)."""
