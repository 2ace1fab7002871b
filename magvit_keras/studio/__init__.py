"""`magvit-keras studio`: a page on this computer to paint holes into clips, and to watch a model fill them."""
