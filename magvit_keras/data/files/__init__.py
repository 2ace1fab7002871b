"""File formats: videos, pictures, records, lists."""
