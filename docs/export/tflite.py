"""The five most probable classes of a photograph's middle, by a TFLite file and LiteRT (ai-edge-litert) alone.

python docs/export/tflite.py exported/E photo.jpg
python docs/export/tflite.py exported/E photo.jpg int8
"""

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

folder, photo, variant = Path(sys.argv[1]), sys.argv[2], (sys.argv[3:] or ["float32"])[0]
picture = json.loads((folder / "export.json").read_text())["picture"]
crop, border = picture["crop"], (1 - picture["crop"] / picture["scale"]) / 2
photograph = ImageOps.exif_transpose(Image.open(photo))
if photograph.mode.startswith("I"):  # grey of 16 bits, which Pillow would cut off at 255
    photograph = Image.fromarray((np.asarray(photograph) // 256).astype("uint8"))
photograph = photograph.convert(picture["mode"])
middle = ImageOps.fit(photograph, (crop, crop), Image.Resampling[picture["interpolation"].upper()], border)
image = np.reshape(middle, (1, crop, crop, -1)).astype("uint8" if variant == "int8" else "float32")
(answer,) = Interpreter(f"{folder}/model_{variant}.tflite").get_signature_runner()(image=image).values()
labels = (folder / "labels.txt").read_text("utf-8").split("\n")
for place in answer[0].argsort()[::-1][:5]:
    print(f"{answer[0, place] / (256 if answer.dtype == np.uint8 else 1):.4f} {labels[place]}")
