"""The real tfa.optimizers.SGDW, in its own environment: judge.py CASES.json IN.npz OUT.npz

IN holds a kernel, a bias and a gradient of each for every step; OUT receives both variables after every case's last step.
"""

import json
import sys

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa


def schedule(values):
    """A value or, of a list, a value for each step."""
    if not isinstance(values, list):
        return values
    return tf.keras.optimizers.schedules.PiecewiseConstantDecay(list(range(len(values) - 1)), values)


def main(cases_path, in_path, out_path):
    arrays, results = np.load(in_path), {}
    with open(cases_path) as file:
        cases = json.load(file)
    for name, case in cases.items():
        kernel, bias = (tf.Variable(arrays[part]) for part in ("kernel", "bias"))
        optimizer = tfa.optimizers.SGDW(
            weight_decay=schedule(case["weight_decay"]),
            learning_rate=schedule(case["learning_rate"]),
            momentum=case["momentum"],
            nesterov=case["nesterov"],
        )
        for kernel_gradient, bias_gradient in zip(arrays["kernel_gradients"], arrays["bias_gradients"]):  # noqa: B905
            gradients = [(tf.constant(kernel_gradient), kernel), (tf.constant(bias_gradient), bias)]
            optimizer.apply_gradients(gradients, decay_var_list=[kernel])
        results[f"{name} kernel"], results[f"{name} bias"] = kernel.numpy(), bias.numpy()
    np.savez(out_path, **results)
    print(f"tensorflow {tf.__version__}, tensorflow-addons {tfa.__version__}, {len(cases)} cases")


main(*sys.argv[1:])
