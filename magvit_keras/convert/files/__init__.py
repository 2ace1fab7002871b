"""Files of other frameworks, read without them and without running anything in them."""
