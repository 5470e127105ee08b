"""The test of a cell with one seed, and its form in results.json."""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Tested:
    """A cell's test with one seed: of each image whether the net is wrong; the top-5 error in percent."""

    wrong: np.ndarray
    top5_error: float | None
    images_sha256: str

    @property
    def top1_error(self) -> float:
        """In percent."""
        return 100 * float(np.mean(self.wrong))

    def to_json(self) -> dict[str, Any]:
        """As results.json has it: one bit per image, the first image's is the highest of the first byte."""
        wrong = base64.b64encode(np.packbits(self.wrong).tobytes()).decode()
        return {"top5_error": self.top5_error, "images_sha256": self.images_sha256, "wrong": wrong}

    @classmethod
    def from_json(cls, content: dict[str, Any], images: int) -> "Tested":
        """The inverse of `to_json`."""
        packed, top5_error = np.frombuffer(base64.b64decode(content["wrong"]), np.uint8), content["top5_error"]
        assert packed.size == -(-images // 8) and (top5_error is None or 0 <= top5_error <= 100)
        return cls(np.unpackbits(packed, count=images).astype(bool), top5_error, content["images_sha256"])
