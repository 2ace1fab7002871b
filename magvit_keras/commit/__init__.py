"""COMMIT (Sec. 3.2): tasks, conditions, vocabulary and the multivariate mask, as pure functions."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "TASKS": "magvit_keras.commit.tasks",
    "Task": "magvit_keras.commit.tasks",
    "get_task": "magvit_keras.commit.tasks",
    "condition": "magvit_keras.commit.conditions",
    "Condition": "magvit_keras.commit.conditions",
    "ConditionPlan": "magvit_keras.commit.conditions",
    "condition_plan": "magvit_keras.commit.conditions",
    "drawn_region_plan": "magvit_keras.commit.conditions",
    "region_mask": "magvit_keras.commit.conditions",
    "apply_plan": "magvit_keras.commit.conditions",
    "multivariate_mask": "magvit_keras.commit.masking",
    "MaskedTokens": "magvit_keras.commit.masking",
    "CONDITION_MODES": "magvit_keras.commit.masking",
    "LOSS_PARTS": "magvit_keras.commit.masking",
    "commit_loss": "magvit_keras.commit.losses",
    "CommitLoss": "magvit_keras.commit.losses",
    "Vocabulary": "magvit_keras.commit.vocabulary",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
