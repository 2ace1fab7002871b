"""Photographs set in motion."""
