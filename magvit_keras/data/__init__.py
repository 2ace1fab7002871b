"""Video data: the built-in Moving Shapes, folders of videos, and the published data sets.

Everything here is NumPy, and PyAV where files are decoded; names are imported on first use, so that
decoding processes load neither Keras nor a backend.
"""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "MovingShapes": "magvit_keras.data.moving_shapes",
    "VideoFolder": "magvit_keras.data.video_folder",
    "ScanReport": "magvit_keras.data.video_files",
    "UCF101": "magvit_keras.data.ucf101",
    "PreparedUCF101": "magvit_keras.data.ucf101",
    "BAIR": "magvit_keras.data.bair",
    "Kinetics600": "magvit_keras.data.kinetics600",
    "SomethingSomethingV2": "magvit_keras.data.something_something",
    "NuScenes": "magvit_keras.data.nuscenes",
    "Objectron": "magvit_keras.data.objectron",
    "MovingMNIST": "magvit_keras.data.moving_mnist",
    "PreparedVideos": "magvit_keras.data.record_videos",
    "WebVideos": "magvit_keras.data.web_videos",
    "RecordFile": "magvit_keras.data.records",
    "RecordError": "magvit_keras.data.records",
    "write_records": "magvit_keras.data.records",
    "parse_example": "magvit_keras.data.examples",
    "make_example": "magvit_keras.data.examples",
    "ClipSource": "magvit_keras.data.clip_source",
    "Source": "magvit_keras.data.source",
    "Subset": "magvit_keras.data.source",
    "UnreadableVideo": "magvit_keras.data.source",
    "UnreadableVideoWarning": "magvit_keras.data.source",
    "TokenBatches": "magvit_keras.data.token_cache",
    "TokenShards": "magvit_keras.data.token_shards",
    "DamagedShard": "magvit_keras.data.token_shards",
    "read_shards": "magvit_keras.data.token_shards",
    "open_source": "magvit_keras.data.formats",
    "write_sample": "magvit_keras.data.samples",
    "Loader": "magvit_keras.data.loader",
    "read_clip": "magvit_keras.data.clip_file",
    "read_video": "magvit_keras.data.decode",
    "write_video": "magvit_keras.data.encode",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
