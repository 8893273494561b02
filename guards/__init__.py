"""Does this text touch what must be forgotten? Text in, verdict out; no HTTP, no engine."""
