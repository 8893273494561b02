"""Engines that run the methods: vLLM through a plug-in, transformers as reference and embedded default."""
