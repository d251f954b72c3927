"""The protocol's messages, made from their description without generated code.

They have a pool of their own: whoever loads other stubs of the same protocol beside them, such as
tritonclient's, would else be told that the names are taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

SERVICE = "inference.GRPCInferenceService"


@cache
def methods() -> Mapping[str, tuple[type[Message], type[Message]]]:
    """Return what each method of the service takes and gives."""
    pool = DescriptorPool()
    described = files(__package__).joinpath("oip.binpb").read_bytes()
    for file in FileDescriptorSet.FromString(described).file:
        pool.Add(file)
    return {
        method.name: (GetMessageClass(method.input_type), GetMessageClass(method.output_type))
        for method in pool.FindServiceByName(SERVICE).methods
    }
