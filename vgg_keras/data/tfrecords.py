"""Where each record of a TFRecord file begins, so that records can be read in any order though the format only streams."""

import os
import struct

import numpy as np

from vgg_keras.errors import UserError
from vgg_keras.files import open_regular

_HEADER = 12  # bytes: a record's length (8) and that number's checksum (4), before its data and 4 bytes more
_CRC32C = np.arange(256, dtype=np.uint32)  # what a byte does to the checksum
for _ in range(8):
    _CRC32C = np.where(_CRC32C & 1, _CRC32C >> 1 ^ np.uint32(0x82F63B78), _CRC32C >> 1)


def record_offsets(path: str, records: int | None = None) -> list[int]:
    """The offset of each record of a TFRecord file, in bytes.

    A record with damaged data has its offset too; the scan names it. After a damaged length no record can be found.

    Args:
        path: of the file.
        records: how many it must have, as the set's dataset_info.json says; None: that is not known.

    Raises:
        UserError: a length is damaged, the last record is cut short, or their number is another; the place is named.
        OSError: it is no regular file.
    """
    offsets, headers, place, size = [], [], 0, os.path.getsize(path)
    with open_regular(path) as file:
        while place < size:
            headers.append(os.pread(file.fileno(), _HEADER, place).ljust(_HEADER, b"\0"))
            offsets.append(place)
            place += _HEADER + struct.unpack("<Q", headers[-1][:8])[0] + 4
    sound = _sound(np.frombuffer(b"".join(headers), np.uint8).reshape(-1, _HEADER))
    # where only a length's checksum is damaged, the next record is sound, or it is the file's end
    lost = ~sound & ~np.append(sound, place == size)[1:]
    if lost.any():
        raise UserError(
            "Each record of a TFRecord file is found by the lengths before it. Received: "
            f"{path}@{offsets[int(np.argmax(lost))]}, whose length is damaged. Put the file back, or prepare the set anew."
        )
    if place != size:
        raise UserError(
            f"A TFRecord file must end with a whole record. Received: {path}@{offsets[-1]}, cut short. "
            "Put the file back, or prepare the set anew."
        )
    if records not in (None, len(offsets)):
        raise UserError(
            f"A TFRecord file must hold the records that dataset_info.json counts. Received: {path} with {len(offsets):,} of "
            f"{records:,}. Put the file back, or prepare the set anew."
        )
    return offsets


def _sound(headers: np.ndarray) -> np.ndarray:
    """Which of these headers, (records, 12) uint8, have the right checksum of their length: CRC-32C, rotated and shifted."""
    checksum = np.full(len(headers), 0xFFFFFFFF, np.uint32)
    for byte in headers[:, :8].T:
        checksum = checksum >> 8 ^ _CRC32C[checksum & 0xFF ^ byte]
    checksum = ~checksum
    masked = (checksum >> 15 | checksum << 17) + np.uint32(0xA282EAD8)
    return masked == np.ascontiguousarray(headers[:, 8:]).view("<u4")[:, 0]
