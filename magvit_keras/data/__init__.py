"""Video data: the built-in Moving Shapes and folders of videos."""
