"""Moving Shapes, the built-in data set, drawn as it is read."""
