"""The encoder components that this service can build by itself, by reference."""

from typing import Literal

SHIPPED: dict[str, Literal["onnx", "openvino"]] = {
    "minilm-int8@1": "onnx",
    "minilm-fp32@1": "onnx",
    "minilm-openvino@1": "openvino",
}
"""Reference -> engine that runs it. What a build makes never changes under one version."""

DEFAULT = "minilm-int8@1"
"""Served when no component is named."""

BY_VLLM = "minilm-vllm@1"
"""What a vLLM server with the same weights is called."""
