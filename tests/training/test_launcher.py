"""Several processes of one training: with stand-ins for the training, which end by statuses that a test gives."""

import json
import re
import shutil

import pytest
import tensorflow as tf

from vgg_keras.config import Checkpoint
from vgg_keras.errors import UserError
from vgg_keras.runs import CHECKPOINTS, FINISHED, checkpoints_in
from vgg_keras.training import launcher
from vgg_keras.training.checkpoints import Checkpoints


def test_workers_that_die_without_progress_are_not_started_for_ever(tmp_path, monkeypatch, capfd):
    """With a stand-in for the training, which ends by the statuses in a file, one start after the other."""
    stand_in = tmp_path / "train.py"
    stand_in.write_text(
        "import json, os, pathlib, sys\n"
        "rank = json.loads(os.environ['TF_CONFIG'])['task']['index']\n"
        "plan = pathlib.Path(sys.argv[1])\n"
        "starts = json.loads(plan.read_text())\n"
        "count = plan.with_name(f'count-{rank}')\n"
        "number = int(count.read_text()) if count.exists() else 0\n"
        "count.write_text(str(number + 1))\n"
        "status, progress = starts[number][rank]\n"
        "if progress:\n"
        "    (plan.parent / 'run' / 'checkpoints' / f'epoch-0000-step-{number:09d}').mkdir(parents=True)\n"
        "print(f'error: of worker {rank}', file=sys.stderr)\n"
        "sys.exit(status)\n"
    )

    def ends(starts, restarts):
        for old in tmp_path.glob("count-*"):
            old.unlink()
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        (tmp_path / "plan.json").write_text(json.dumps(starts))
        status = launcher.launch([str(tmp_path / "plan.json")], 2, restarts, tmp_path / "run", program=[str(stand_in)])
        return status, int((tmp_path / "count-0").read_text()), capfd.readouterr().err

    died, went_on, fine = [[3, 0], [69, 0]], [[3, 1], [69, 0]], [[0, 0], [0, 0]]
    assert ends([fine], 2)[:2] == (0, 1)
    assert ends([died, died, fine], 2)[:2] == (0, 3)
    status, starts, printed = ends([died] * 5, 2)
    assert (status, starts) == (3, 3)
    assert "given up" in printed and "worker 0 (127.0.0.1:" in printed and "ended with status 3" in printed
    assert ends([went_on] * 5 + [fine], 1)[:2] == (0, 6)  # each came further than the one before
    status, starts, printed = ends([[[69, 0], [2, 0]], fine], 2)
    assert (status, starts) == (2, 1)  # a user's mistake is made once, and read without the log
    assert re.search(r"launch: worker 1 \(127.0.0.1:\d+\) ended with status 2: error: of worker 1", printed)
    assert ends([[[75, 0], [69, 0]], fine], 2)[:2] == (75, 1)
    assert ends([[[74, 0], [69, 0]], fine], 2)[:2] == (74, 1)  # there is no more room the next time
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    plan = tmp_path / "plan.json"
    (tmp_path / "count-0").unlink()
    assert launcher.launch([str(plan)], 2, 0, tmp_path / "run", program=[str(stand_in)]) == 74
    assert not list((tmp_path / "run").iterdir())  # which was there before


def test_a_stages_checkpoint_and_its_end_are_progress(tmp_path):
    """By the names that the training itself writes."""
    assert not launcher._progress(tmp_path)
    stage = tmp_path / "E" / "S256"
    state = tf.train.Checkpoint(step=tf.Variable(0))
    Checkpoints(stage / CHECKPOINTS, state, Checkpoint()).save(1, 10)
    (stage / FINISHED).touch()
    assert launcher._progress(tmp_path / "E") == {*checkpoints_in(stage / CHECKPOINTS), stage / FINISHED}


def test_gpus_are_dealt_out(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert launcher.deal_gpus(2) == ["0,1", "2,3"]
    with pytest.raises(UserError, match="Received: 4 GPUs for --workers=3"):
        launcher.deal_gpus(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert launcher.deal_gpus(2) == [None, None]


def test_a_containers_gpus_are_counted_as_cuda_counts_them(monkeypatch, tmp_path):
    """Docker gives a container /dev/nvidia2 and /dev/nvidia5 as the GPUs 0 and 1 of CUDA."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(launcher, "DEVICES", tmp_path)
    for name in ("nvidia5", "nvidia2", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert launcher.deal_gpus(2) == ["0", "1"]
    assert launcher.deal_gpus(1) == ["0,1"]


def test_workers_that_did_nothing_leave_none_of_the_folders_that_were_made_for_them(tmp_path):
    program = ["-c", "raise SystemExit(2)"]
    assert launcher.launch([], 2, 0, tmp_path / "runs" / "E", program) == 2
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([0, 0], 0),
        ([69, 2], 2),  # a mistake of the user comes before its consequences
        ([75, 74], 74),  # a full disk before a request to stop
        ([75, 69], 75),
        ([69, 3], 3),  # what lost the others
        ([69, -9], 137),  # SIGKILL, as a shell writes it
        ([0, 69], 69),
    ],
)
def test_one_status_is_that_of_the_cause(statuses, expected):
    assert launcher._of_all(statuses) == launcher._of_all(statuses[::-1]) == expected
