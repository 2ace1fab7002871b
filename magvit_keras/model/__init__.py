"""The task model: what users train and generate with."""
