"""The authors' `.caffemodel` files: a protocol buffer of which the names and the blobs of the layers are read.

The messages are Caffe's (src/caffe/proto/caffe.proto), with the fields that hold a net's weights alone; `layers` is the
form of 2014, in which the authors' files are, `layer` the one after it.
"""

import math
from pathlib import Path

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from vgg_keras.errors import UserError
from vgg_keras.weights.source_weights import CAFFE, CAFFE_WORDS, Preprocessing, SourceWeights, caffe_head, caffe_names

_FIELD = descriptor_pb2.FieldDescriptorProto
# message -> field -> (number, type, whether repeated)
_MESSAGES = {
    "BlobShape": {"dim": (1, _FIELD.TYPE_INT64, True)},
    "BlobProto": {
        "num": (1, _FIELD.TYPE_INT32, False),
        "channels": (2, _FIELD.TYPE_INT32, False),
        "height": (3, _FIELD.TYPE_INT32, False),
        "width": (4, _FIELD.TYPE_INT32, False),
        "data": (5, _FIELD.TYPE_BYTES, False),  # packed floats, which on the wire are bytes with their length
        "shape": (7, "BlobShape", False),
    },
    "TransformationParameter": {  # of a layer that reads images: what is done to them, in the order of their channels
        "scale": (1, _FIELD.TYPE_FLOAT, False),
        "mean_file": (4, _FIELD.TYPE_STRING, False),
        "mean_value": (5, _FIELD.TYPE_FLOAT, True),
    },
    "V1LayerParameter": {
        "name": (4, _FIELD.TYPE_STRING, False),
        "blobs": (6, "BlobProto", True),
        "transform_param": (36, "TransformationParameter", False),
    },
    "LayerParameter": {
        "name": (1, _FIELD.TYPE_STRING, False),
        "blobs": (7, "BlobProto", True),
        "transform_param": (100, "TransformationParameter", False),
    },
    "NetParameter": {
        "name": (1, _FIELD.TYPE_STRING, False),
        "layers": (2, "V1LayerParameter", True),
        "layer": (100, "LayerParameter", True),
    },
}


def read(path: Path) -> SourceWeights:
    """The layers with weights of a `.caffemodel`. Its nets take BGR minus a mean, which the file may hold.

    Raises:
        UserError: not such a file.
    """
    net = _net_parameter()()
    try:
        net.ParseFromString(path.read_bytes())
    except message.DecodeError as error:
        raise UserError(f"{path} must be a whole .caffemodel. Received another file: {error}.") from None
    tensors = {}
    for layer in (*net.layers, *net.layer):
        if layer.blobs:
            if layer.name in tensors:
                raise UserError(f"A .caffemodel names each layer once. Received: {path}, with {layer.name} twice.")
            tensors[layer.name] = tuple(_array(blob, layer.name, path) for blob in layer.blobs)
    if not tensors:
        raise UserError(f"A .caffemodel holds layers with weights. Received: {path}, with none.")
    preprocessing, assumed = _preprocessing(net, path)
    fc = caffe_head(list(tensors))
    return SourceWeights(
        str(path),
        tensors,
        lambda architecture: caffe_names(architecture, fc),
        channels_first=True,
        preprocessing=preprocessing,
        assumed=assumed,
        fc_layers=fc,
        head="fc" if fc else "",
    )


def _preprocessing(net, path: Path) -> tuple[Preprocessing, str]:
    """(BGR - mean) * scale, as the layers that read images say, and in words what is assumed of it.

    Layers that state a scale alone subtract nothing. A mean in a file of its own is not known.
    """
    stated = {
        (tuple(images.mean_value), images.scale or 1.0, bool(images.mean_file))  # 0: not in the file
        for images in (layer.transform_param for layer in (*net.layers, *net.layer))
        if images.mean_value or images.mean_file or images.HasField("scale")
    }
    mean, scale, elsewhere = stated.pop() if stated else ((), 1.0, True)
    if stated or len(mean) not in (0, 1, 3) or not all(map(math.isfinite, (*mean, scale))):
        raise UserError(
            f"A .caffemodel's images have one mean, of one or three values, and one scale. Received: {path}, with others."
        )
    std = (1.0 / scale,) * 3
    if elsewhere and not mean:
        times = f", times {scale:g}" if scale != 1 else ""
        return Preprocessing(CAFFE.mean, std, bgr=True), f"the authors', {CAFFE_WORDS}{times}"
    return Preprocessing(tuple(reversed(mean if len(mean) == 3 else (mean or (0.0,)) * 3)), std, bgr=True), ""


def _array(blob, name: str, path: Path) -> np.ndarray:
    """A blob without the axes of 1 that Caffe's four axes put before an FC layer's kernel and any bias."""
    shape = list(blob.shape.dim) or [blob.num, blob.channels, blob.height, blob.width]
    if any(side < 1 for side in shape) or 4 * math.prod(shape) != len(blob.data):
        raise UserError(
            "A blob holds as many packed 32-bit floats as its shape says. "
            f"Received: {path}, whose {name} has {len(blob.data)} bytes for {tuple(shape)}."
        )
    while len(shape) > 1 and shape[0] == 1:
        shape.pop(0)
    return np.frombuffer(blob.data, "<f4").reshape(shape)


def _net_parameter() -> type:
    """The message class, made from `_MESSAGES`."""
    file = descriptor_pb2.FileDescriptorProto(name="vgg_keras/caffe.proto", package="vgg_keras.caffe", syntax="proto2")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            added = described.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = _FIELD.TYPE_MESSAGE, f".vgg_keras.caffe.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("vgg_keras.caffe.NetParameter"))
