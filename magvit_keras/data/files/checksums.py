"""CRC32C, the checksum of TFRecord files."""

from __future__ import annotations

_MASK_DELTA = 0xA282EAD8


def masked_crc32c(data: bytes | memoryview) -> int:
    """The CRC32C (Castagnoli) as TFRecord files store it: rotated and shifted, so that checksums of checksums differ.

    Args:
        data: any number of bytes.

    Returns:
        0 to 2^32 - 1.

    Raises:
        ImportError: google-crc32c is missing; the message names the extra to install.

    Example:
        >>> masked_crc32c(b"") == 0xA282EAD8
        True

    Reference:
        RFC 3720, appendix B.4; https://www.tensorflow.org/tutorials/load_data/tfrecord
    """
    try:
        from google_crc32c import value
    except ImportError as error:
        raise ImportError(
            "record files need google-crc32c, which is missing; install it with: pip install 'magvit-keras[video]'"
        ) from error
    crc = value(bytes(data))
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
