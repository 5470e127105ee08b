"""The command samples, as a user runs it."""

import pytest
import tensorflow as tf


@pytest.mark.slow
def test_samples_draws_what_the_net_is_shown(run_command, tmp_path):
    done = run_command("samples", "--config=quickstart", "--images=3", "--epochs=2", "--out=pictures/samples.png")
    assert done.returncode == 0, done.stderr
    picture = tf.io.decode_png((tmp_path / "pictures" / "samples.png").read_bytes())
    assert len(set(map(tuple, picture.numpy()[..., :3].reshape(-1, 3).tolist()))) > 50  # not a blank page
