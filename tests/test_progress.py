"""The progress of long work: lines where there is no terminal, and nothing of short work."""

import re
import time

import pytest

from vgg_keras import progress


@pytest.fixture
def lines(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS", 0.05)
    return lambda: capsys.readouterr().err.splitlines()


def test_long_work_without_a_terminal_prints_a_line_from_time_to_time(lines):
    with progress.progress(title="scan of photos", total=2000) as bar:
        for _ in range(4):
            time.sleep(0.06)
            bar.update(500)
    printed = lines()
    assert 2 <= len(printed) <= 4
    assert re.fullmatch(r"scan of photos: 500 of 2,000 images, 25 %, [\d,]+ images/s, \d\d:\d\d left", printed[0])


def test_the_title_changes_with_the_epoch_and_slow_work_has_a_fraction(lines):
    bar = progress.progress(title="epoch 1/2", total=4, unit="process")
    bar.set_description("epoch 2/2")
    bar.set_postfix(loss="0.123", refresh=False)
    time.sleep(0.2)
    bar.update(1)
    (line,) = lines()
    assert re.fullmatch(r"epoch 2/2: 1 of 4 processes, 25 %, \d\.?\d* processes/s, \d\d:\d\d left, loss=0\.123", line)
    bar.close()


def test_short_work_and_other_workers_print_nothing(lines):
    assert list(progress.progress(range(5), "short")) == [0, 1, 2, 3, 4]
    with progress.progress(title="another worker's", total=3, shown=False) as bar:
        time.sleep(0.06)
        bar.update(3)
    bar = progress.progress(total=3)
    bar.set_description("epoch 1/2")
    bar.close()
    assert lines() == []


def test_a_generator_without_a_length_has_lines_without_shares(lines):
    for _ in progress.progress((time.sleep(0.03) for _ in range(5)), "rows", unit="row"):
        pass
    printed = lines()
    assert printed[0].startswith("rows: ") and " rows, " in printed[0] and "%" not in printed[0]
