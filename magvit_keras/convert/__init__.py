"""Weights of the official Flax code."""
