"""The command summarize, as a user runs it."""


def test_summarize_prints_the_papers_tables(run_command):
    output = run_command("summarize").stdout
    for number in ("132,863,336", "138,357,544", "143,667,240", "7.61 G", "15.47 G", "19.63 G", "81% more"):
        assert number in output
    layers = run_command("summarize", "--config=E").stdout
    assert "102,764,544" in layers and "143,667,240" in layers  # fc1: 25088 * 4096 + 4096
    assert run_command("summarize", "--config=quickstart", "--side=64").returncode == 0


def test_a_configuration_is_found_from_any_folder(run_command, tmp_path):
    assert "block5_conv4" in run_command("summarize", "--config=E", cwd=tmp_path).stdout
