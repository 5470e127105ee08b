"""The machine's processor: its cores, its name and its instructions for bfloat16."""

import os
import platform
from pathlib import Path

_BF16 = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}  # the flags of what multiplies bf16, the faster one first


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def description() -> str:
    """The cores of this process, the processor's name and what multiplies bf16."""
    name = _first_core().get("model name") or platform.processor() or platform.machine()
    return f"{cores()} cores of {name}{''.join(f' with {units}' for units in _bf16_units()[:1])}"


def multiplies_bf16() -> bool:
    """Whether the processor has instructions for products of bf16, without which they are slower than float32's."""
    return bool(_bf16_units())


def _bf16_units() -> list[str]:
    flags = _first_core().get("flags", "").split()
    return [units for flag, units in _BF16.items() if flag in flags]


def _first_core() -> dict[str, str]:
    """Linux's description of the first core; empty on other systems."""
    path = Path("/proc/cpuinfo")
    first = path.read_text().split("\n\n")[0] if path.exists() else ""
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}
