"""The processor's description counts the cores that the process may use."""

import os

from vgg_keras import processor


def test_cores_are_those_of_the_process(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 7}, raising=False)
    assert processor.cores() == 3
    assert processor.description().startswith("3 cores of ")
