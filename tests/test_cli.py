"""The command lines in a process of their own, as a user runs them."""

import subprocess
import sys

import pytest

from vgg_keras.commands import COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_starts_no_tensorflow_and_takes_less_than_a_second(name):
    script = (
        "import sys, time, runpy; start = time.perf_counter(); sys.argv = ['vgg_keras', '--help']\n"
        "try:\n"
        f"    runpy.run_module('vgg_keras.{name}', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end:\n"
        "    slow = {'tensorflow', 'keras', 'numpy', 'tensorflow_datasets'} & set(sys.modules)\n"
        "    print('status', end.code, 'started', sorted(slow), 'seconds', time.perf_counter() - start)\n"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "status 0 started []" in output, output[-500:]
    print(output.splitlines()[-1])
    assert {
        "evaluate": "--model",
        "predict": "--model",
        "export": "--model",
        "compare": "--test",
        "reproduce": "--suite",
        "launch": "--workers",
    }.get(name, "--config") in output
    # a shared flag is described for the command that has it
    assert ("Default: evaluation/" in output) == (name == "evaluate")


def test_help_names_every_file_of_weights_that_is_read():
    from vgg_keras.weights.formats import READERS

    command = [sys.executable, "-m", "vgg_keras.predict", "--help"]
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout.replace(",", " ").split()
    assert set(READERS) <= {word.removesuffix(".") for word in words}


MISTAKES = [
    ("train", [], "error: --config is needed"),
    ("train", ["--config=quikstart"], "Did you mean 'quickstart'"),
    ("train", ["--config=E", "--set=data.bach=3"], "Did you mean 'data.batch'"),
    ("train", ["--confg=E"], "Unknown command line flag 'confg'. Did you mean: config"),
    ("train", ["--config=VGG16"], "Received: 'VGG16'. Did you mean 'D'?"),
    ("train", ["--config=d"], "Received: 'd'. Did you mean 'D'?"),
    ("train", ["--config=vgg19"], "Received: 'vgg19'. Did you mean 'E'?"),
    (
        "evaluate",
        ["--config=vgg16_bn", "--weights=x.pth", "--data=digits", "--out=o"],
        "'D' with --set=architecture.batch_norm=true?",
    ),
    ("train", ["--config=E", "--epochs=5"], "training.epochs is a field: --set=training.epochs=5"),
    ("train", ["--config=E", "--epochs", "5"], "training.epochs is a field: --set=training.epochs=5"),
    ("train", ["--config=E", "--lr=1e-3"], "training.learning_rate is a field: --set=training.learning_rate=1e-3"),
    ("samples", ["--batch=8"], "are fields: --set=data.batch=8 or --set=evaluation.batch=8"),
    ("train", ["--config=E", "--input-shape=96,96,3"], "a field: --set=architecture.crop=..."),
    ("train", ["--training.epochs=3"], "a field: --set=training.epochs=3"),
    ("train", ["--config=E", "--dataset=photos"], "Unknown command line flag 'dataset'. Did you mean --data?"),
    ("train", ["--config=E", "--output_dir=out"], "Did you mean --workdir?"),
    ("compare", ["--epochs=5"], "Unknown command line flag 'epochs'"),
    ("train", ["--config=E", "--data=digits", "--set=data.source=cifar10"], "Leave one out"),
    (
        "train",
        ["--config=E", "--strategy=two"],
        "runtime.strategy must be one of auto, one, mirrored, multi_worker.",
    ),
    ("train", ["--config=E", "--strategy=one", "--set=runtime.strategy=one"], "Leave one out"),
    ("launch", [], "takes the word train and the flags of that command beside its flags. Received: none."),
    ("launch", ["--workers=2", "tarin"], "Received: 'tarin'. Did you mean 'train'?"),
    ("launch", ["train", "--workdir=run"], "error: --config is needed"),
    ("launch", ["train", "--config=E", "--workers=3"], "stand before the word train. Received: --workers=3 behind it."),
    ("launch", ["train", "--config=E", "--workdir=/dev/null"], "--workdir must be a folder. Received: /dev/null"),
    (
        "launch",
        ["--config=E", "train"],
        "Unknown command line flag 'config'. Flags of train stand behind the word train.",
    ),
    ("train", ["--config=E", "--log_dir=runs/E"], "Unknown command line flag 'log_dir'. Did you mean --workdir?"),
    ("predict", ["--json=yes", "photo.jpg"], "--json takes true or false. Received: 'yes'."),
    ("summarize", ["--teraflops=50"], "--teraflops belongs to --scaling. Received: --teraflops."),
    ("summarize", ["--scaling", "--side=256"], "--scaling takes --config with --set, --batch and --teraflops."),
    ("train", ["training.epochs=3", "--config=E"], "'training.epochs=3'. Did you mean --set=training.epochs=3?"),
    ("train", ["quickstart"], "This command takes flags only. Received: 'quickstart'"),
    (
        "benchmark",
        [],
        "takes one word beside its flags. Received: none. Known: all, evaluate, forward, input, scaling, train.",
    ),
    ("benchmark", ["evalute"], "Received: evalute. Did you mean 'evaluate'?"),
    ("samples", ["--out=samples.txt"], "--out must be a picture, such as picture.png. Received: samples.txt"),
    ("features", ["--data=digits", "--out=o"], "give one. Received: none of them."),
    ("features", ["--weights=x.h5", "--out=o"], "--out is needed, and --data beside --weights. Received: no --data."),
    ("features", ["--query=a.jpg", "--query=b.jpg"], "--query takes several values with commas between them. Rec"),
    ("evaluate", ["--scales=256", "--scales=384"], "Received: it 2 times. Give it once."),
    (
        "features",
        ["--model=r", "--out=o", "--top=3"],
        "--top counts the images nearest to each of --query. Received: --top.",
    ),
    (
        "features",
        ["--weights=r", "--data=d", "--out=o", "--splits=3"],
        "features.splits belongs to --classify. Received: features.splits with no --classify. Set both, or leave it out.",
    ),
    (
        "features",
        ["--weights=r", "--config=D", "--data=d", "--out=o", "--classify", "--splits=3"],
        "features.splits belongs to features.per_class. Received: features.splits with features.per_class=0. Set both",
    ),
    (
        "features",
        ["--weights=r", "--config=D", "--data=d", "--out=o", "--combine=average"],
        "is of several Q. Received: it with one.",
    ),
    (
        "localize",
        ["--weights=r", "--top=1", "--set=localization.answers=2", "photo.jpg"],
        "--top is instead of localization.answers: give one. Received: --top.",
    ),
    (
        "export",
        ["--weights=r", "--data=d", "--format=onnx", "--out=o", "--set=export.representative_images=8"],
        "representative_images belongs to --format=tflite. Received: export.representative_images with --format=onnx.",
    ),
    (
        "samples",
        ["--set=training.epochs=3"],
        "reads architecture.*, data.*, seed, runtime.*, stages. Received: --set=tr",
    ),
    (
        "samples",
        ["--set=data.visible_box=1"],
        "belongs to architecture.boxes=scr or architecture.boxes=pcr. Received: ",
    ),
    (
        "summarize",
        ["--config=E", "--set=data.scale=384"],
        "This command reads architecture.*, stages. Received: --set=da",
    ),
    (
        "benchmark",
        ["input", "--config=E", "--set=data.scale=384"],
        "has its own scale. Received: data.scale. Try --set=stages.3.scale=... for jitter.",
    ),
    ("benchmark", ["all", "--config=E", "--set=data.scale=288"], "Each of these stages has its own scale"),
    ("benchmark", ["train", "--set=training.l2=1e-3"], "belongs to training.optimizer=l2. Received: "),
    ("benchmark", ["train", "--set=export.images=8"], "training.*, evaluation.*, runtime.*, seed, stages. Received: "),
    (
        "features",
        ["--model=r", "--out=o", "--with=a.npz"],
        "--with stacks the descriptors of several nets for --classify.",
    ),
    (
        "features",
        ["--model=r", "--out=o", "--query=no.jpg"],
        "--query takes photographs. Received: no.jpg, which is no file.",
    ),
    ("features", ["--model=r", "--out=o", "--pooling=median"], "--pooling takes mean or max. Received: 'median'."),
    ("compare", [], "takes runs' folders beside its flags. Received: none."),
    ("compare", ["runs/none"], "Runs are compared by their folders. Received: runs/none, which is none."),
    ("summarize", ["--config=F"], "Received: 'F'"),
    ("summarize", ["--side=100"], "error: --side must be the crop's 224 or more. Received: 100"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "arguments", "message"), MISTAKES)
def test_mistakes_get_one_line_and_status_2(run_command, name, arguments, message):
    done = run_command(name, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_working_folder_that_was_removed_is_named(tmp_path):
    (tmp_path / "gone").mkdir()
    script = f"cd gone; rmdir ../gone; {sys.executable} -m vgg_keras.samples --config=quickstart"
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "error: A command needs a working folder. Received: one that was rem" in done.stderr


def test_a_home_folder_is_meant_by_every_flag_that_takes_a_path(run_command, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    runs = str(tmp_path / "home" / "none")
    for name, arguments in (
        ("evaluate", ["--model=~/none"]),
        ("export", ["--model=~/none", "--format=onnx", "--out=~/out"]),
        ("predict", ["--model=~/none", "photo.jpg"]),
        ("train", ["--config=quickstart", "--init_from=~/none", "--workdir=~/run"]),
        ("train", ["--config=quickstart", "--weights=~/none/file.h5", "--workdir=~/run"]),
        ("train", ["--config=quickstart", "--set=training.init_from=~/none", "--workdir=~/run"]),
        ("compare", ["~/none"]),
    ):
        done = run_command(name, *arguments)
        assert done.returncode == 2 and runs in done.stderr, done.stderr
        assert not (tmp_path / "~").exists()
    done = run_command("samples", "--out=~nobody_at_all/samples.png")
    assert done.returncode == 2 and "Received: ~nobody_at_all/samples.png, and there is none." in done.stderr
