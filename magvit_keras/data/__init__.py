"""Video data: the built-in Moving Shapes, folders of videos, and the published data sets.

Everything here is NumPy, and PyAV where files are decoded; names are imported on first use, so that
decoding processes load neither Keras nor a backend.
"""

from magvit_keras._lazy import public_names

_PUBLIC = {
    "MovingShapes": "magvit_keras.data.shapes.moving_shapes",
    "MovingPhotos": "magvit_keras.data.photos.moving_photos",
    "VideoFolder": "magvit_keras.data.readers.video_folder",
    "ScanReport": "magvit_keras.data.readers.video_files",
    "UCF101": "magvit_keras.data.readers.ucf101",
    "PreparedUCF101": "magvit_keras.data.readers.ucf101",
    "BAIR": "magvit_keras.data.readers.bair",
    "Kinetics600": "magvit_keras.data.readers.kinetics600",
    "SomethingSomethingV2": "magvit_keras.data.readers.something_something",
    "NuScenes": "magvit_keras.data.readers.nuscenes",
    "Objectron": "magvit_keras.data.readers.objectron",
    "MovingMNIST": "magvit_keras.data.readers.moving_mnist",
    "PreparedVideos": "magvit_keras.data.readers.record_videos",
    "WebVideos": "magvit_keras.data.readers.web_videos",
    "RecordFile": "magvit_keras.data.files.records",
    "RecordError": "magvit_keras.data.files.records",
    "write_records": "magvit_keras.data.files.records",
    "parse_example": "magvit_keras.data.files.examples",
    "make_example": "magvit_keras.data.files.examples",
    "ClipSource": "magvit_keras.data.clip_source",
    "Source": "magvit_keras.data.source",
    "Subset": "magvit_keras.data.source",
    "UnreadableVideo": "magvit_keras.data.source",
    "UnreadableVideoWarning": "magvit_keras.data.source",
    "TokenBatches": "magvit_keras.data.token_cache",
    "TokenShards": "magvit_keras.data.token_shards",
    "DamagedShard": "magvit_keras.data.token_shards",
    "read_shards": "magvit_keras.data.token_shards",
    "open_source": "magvit_keras.data.readers.formats",
    "write_sample": "magvit_keras.data.readers.samples",
    "Loader": "magvit_keras.data.loader",
    "read_clip": "magvit_keras.data.files.clip_file",
    "read_video": "magvit_keras.data.files.decode",
    "write_video": "magvit_keras.data.files.encode",
}

__all__, __getattr__, __dir__ = public_names(__name__, _PUBLIC)
