"""The protocols of App. B.3 run on a model: `evaluate` measures, a report carries every choice, `compare` ranks."""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "evaluate": "magvit_keras.evaluation.protocol_run",
    "compare": "magvit_keras.evaluation.comparison",
    "UnlikeProtocols": "magvit_keras.evaluation.comparison",
    "read_report": "magvit_keras.evaluation.report",
    "write_report": "magvit_keras.evaluation.report",
    "to_markdown": "magvit_keras.evaluation.report",
    "load_model": "magvit_keras.evaluation.models",
    "load_networks": "magvit_keras.evaluation.networks",
    "Networks": "magvit_keras.evaluation.networks",
    "EXTRACTORS": "magvit_keras.evaluation.networks",
    "METRICS": "magvit_keras.evaluation.scores",
    "settle": "magvit_keras.evaluation.settings",
    "PROTOCOLS": "magvit_keras.presets.protocols",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
