"""A whole training in one folder, which goes on where it was stopped."""
