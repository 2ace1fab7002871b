"""COMMIT (Sec. 3.2): tasks, conditions, vocabulary and the multivariate mask, as pure functions."""
