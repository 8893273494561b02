"""HTTP in, HTTP out: the OpenAI-compatible gateway. Never imports torch, transformers or vllm."""
