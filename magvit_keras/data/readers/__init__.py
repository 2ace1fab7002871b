"""Readers of folders of videos and of the published data sets."""
