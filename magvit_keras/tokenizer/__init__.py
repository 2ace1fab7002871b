"""The 3D-VQ tokenizer (Sec. 3.1)."""
