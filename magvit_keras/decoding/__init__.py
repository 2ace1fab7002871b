"""Non-autoregressive decoding (Algorithm 1)."""
