"""The five most probable classes of a photograph's middle, by an ONNX file and ONNX Runtime alone.

python docs/export/onnx.py exported/E photo.jpg
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

folder, photo = map(Path, sys.argv[1:])
picture = json.loads((folder / "export.json").read_text())["picture"]
crop, border = picture["crop"], (1 - picture["crop"] / picture["scale"]) / 2
photograph = ImageOps.exif_transpose(Image.open(photo))
if photograph.mode.startswith("I"):  # grey of 16 bits, which Pillow would cut off at 255
    photograph = Image.fromarray((np.asarray(photograph) // 256).astype("uint8"))
photograph = photograph.convert(picture["mode"])
middle = ImageOps.fit(photograph, (crop, crop), Image.Resampling[picture["interpolation"].upper()], border)
session = onnxruntime.InferenceSession(folder / "model.onnx")
(answer,) = session.run(None, {"image": np.asarray(middle, np.float32).reshape(1, crop, crop, -1)})
labels = (folder / "labels.txt").read_text("utf-8").split("\n")
for place in answer[0].argsort()[::-1][:5]:
    print(f"{answer[0, place]:.4f} {labels[place]}")
