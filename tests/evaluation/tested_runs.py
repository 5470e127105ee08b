"""Runs' folders that hold a configuration and a test's result, and no weights."""

from vgg_keras.files import write_json
from vgg_keras.overrides import override, parse_assignments
from vgg_keras.plain_values import to_dict
from vgg_keras.recipes import load

TESTED = {"top5_error": 5.0, "images": 200, "images_sha256": "12", "protocol": "center", "scales": [36], "flip": True}


def a_run(folder, error, *fields, mean=(1.0, 2.0, 3.0), test="final_evaluation", **result):
    config = to_dict(override(load("D"), parse_assignments(["stages=", *fields])))
    config["architecture"]["mean"] = mean  # measured, so no setting
    folder.mkdir(parents=True)
    write_json(folder / "config.json", {"config": config, "classes": []})
    if error is not None:
        write_json(folder / test / "evaluation.json", {**TESTED, "top1_error": error, **result})
    return folder


def three_nets(folder, random):
    """Three nets with three seeds each; the errors by net."""
    errors = {name: random.uniform(20, 30, 3) for name in ("A", "D", "E")}
    folders = [
        a_run(
            folder / f"{name}-{seed}",
            error,
            f"architecture.name={name}",
            f"seed={seed}",
            f"runtime.cpu_devices={seed + 1}",
            mean=(seed, 2.0, 3.0),
        )
        for seed in range(3)
        for name, error in zip(errors, (values[seed] for values in errors.values()), strict=True)
    ]
    return folders, errors
