"""The machine's processor, as the system tells of it."""

import os
import platform
from pathlib import Path

_BF16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}  # the flags of what multiplies bf16, the faster one first


def description() -> str:
    """Its cores, its name and what multiplies bf16, in words."""
    told = _told()
    name = told.get("model name") or platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores of {name}{''.join(f' with {units}' for units in _bf16_units()[:1])}"


def multiplies_bf16() -> bool:
    """Whether it has instructions for bf16's products, without which they are slower than float32's."""
    return bool(_bf16_units())


def _bf16_units() -> list[str]:
    flags = _told().get("flags", "").split()
    return [units for flag, units in _BF16.items() if flag in flags]


def _told() -> dict[str, str]:
    """What Linux tells of the first core; nothing elsewhere."""
    path = Path("/proc/cpuinfo")
    first = path.read_text().split("\n\n")[0] if path.exists() else ""
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
