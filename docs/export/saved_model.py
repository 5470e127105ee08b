"""The five most probable classes of a photograph, by a SavedModel and TensorFlow alone.

python docs/export/saved_model.py exported/E photo.jpg
"""

import sys
from pathlib import Path

import tensorflow as tf

folder, photo = map(Path, sys.argv[1:])
net = tf.saved_model.load(str(folder))
answer = net.signatures["encoded"](encoded=tf.constant([photo.read_bytes()]))
labels, probabilities = (folder / "labels.txt").read_text("utf-8").split("\n"), answer["probabilities"].numpy()[0]
for place in probabilities.argsort()[::-1][:5]:
    print(f"{probabilities[place]:.4f} {labels[place]}")
