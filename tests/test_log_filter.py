"""The filter of standard error: every line that reports an error passes, whatever becomes of the process."""

import os
import subprocess
import sys

from vgg_keras import log_filter


def test_a_filter_passes_every_line_that_reports_an_error(capfd):
    reports = [
        "E0000 00:00:1795631264.418719    7306 cuda_executor.cc:1] out of memory",
        "F0000 00:00:1795631264.418719    7306 logging.cc:1] Check failed",
        "2026-11-25 18:27:00.123456: E tensorflow/core/x.cc:5] cannot open",
        "Traceback (most recent call last):",
        "anything else",
    ]
    noise = [
        "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR",
        "I0000 00:00:1795631264.418719    7306 cudart_stub.cc:31] Could not find cuda drivers on your machine",
        "2026-11-25 18:27:00.123456: W tensorflow/core/x.cc:5] beware",
        "To enable the following instructions: AVX2 FMA, in other operations, rebuild TensorFlow with the appropriate "
        "compiler flags.",
        "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.",
    ]
    with log_filter.without_noise():
        for line in [*reports, *noise]:
            os.write(2, f"{line}\n".encode())
    os.write(2, b"after\n")
    assert capfd.readouterr().err.splitlines() == [*reports, "after"]


def test_a_process_that_dies_while_its_errors_are_filtered_loses_none():
    script = """
import os
from vgg_keras import log_filter
with log_filter.without_noise():
    os.write(2, b"last words\\n")
    os.abort()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode < 0 and "last words" in done.stderr


def test_a_frozen_program_is_not_started_once_more(monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(subprocess, "Popen", None)
    with log_filter.without_noise():
        pass
