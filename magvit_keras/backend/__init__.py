"""The only room that may ask which backend runs: the same names for TensorFlow, JAX and PyTorch."""
