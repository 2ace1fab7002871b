"""Video data: the built-in Moving Shapes and folders of videos.

Everything here is NumPy, and PyAV where files are decoded; names are imported on first use, so that
decoding processes load neither Keras nor a backend.
"""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "MovingShapes": "magvit_keras.data.moving_shapes",
    "VideoFolder": "magvit_keras.data.video_folder",
    "ScanReport": "magvit_keras.data.video_files",
    "ClipSource": "magvit_keras.data.clip_source",
    "Source": "magvit_keras.data.source",
    "Subset": "magvit_keras.data.source",
    "UnreadableVideo": "magvit_keras.data.source",
    "UnreadableVideoWarning": "magvit_keras.data.source",
    "Loader": "magvit_keras.data.loader",
    "read_clip": "magvit_keras.data.clip_file",
    "read_video": "magvit_keras.data.decode",
    "write_video": "magvit_keras.data.encode",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
