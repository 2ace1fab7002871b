"""The models of the paper as plain data."""
