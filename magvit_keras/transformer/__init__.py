"""The BERT-style masked transformer."""
