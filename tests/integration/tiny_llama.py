"""A Llama of two layers with random weights, and LoRA adapters for it: files as vLLM loads them, made in a second.

It knows nothing, so its answers are what the constraint leaves and its weights happen to prefer; two
adapters prefer differently. No library of models is needed: the files are JSON and safetensors.
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tests.unit.mapper.shipped import examples, taxonomy

HIDDEN, LAYERS, HEADS, INNER, VOCABULARY, RANK = 64, 2, 2, 128, 2048, 8
_SPECIALS = ["<unk>", "<s>", "</s>"]
_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def model(folder: Path) -> Path:
    """Write the model and return its folder."""
    folder.mkdir(parents=True)
    size = _tokenizer(folder)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": size,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(
        json.dumps({"bos_token_id": 1, "eos_token_id": 2})
    )
    save_file(_weights(size), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def lora(folder: Path, base: Path, seed: int) -> Path:
    """Write an adapter of the base model and return its folder; another seed is another adapter."""
    folder.mkdir(parents=True)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": ["q_proj", "v_proj", "o_proj"],
    }
    (folder / "adapter_config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(seed)
    weights = {}
    for layer in range(LAYERS):
        for name in config["target_modules"]:  # type: ignore[attr-defined]
            stem = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{stem}.lora_A.weight"] = _normal(rng, RANK, HIDDEN, scale=0.3)
            weights[f"{stem}.lora_B.weight"] = _normal(rng, HIDDEN, RANK, scale=0.3)
    save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def _tokenizer(folder: Path) -> int:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=_SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = [example.text for example in examples()]
    texts += [f"{label.name}: {label.description}" for label in taxonomy().labels.values()]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": 4096,
        "chat_template": _TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    size: int = tokenizer.get_vocab_size()
    return size


def _weights(vocabulary: int) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(1)
    weights = {
        "model.embed_tokens.weight": _normal(rng, vocabulary, HIDDEN, scale=1.0),
        "model.norm.weight": np.ones(HIDDEN, dtype=np.float32),
        "lm_head.weight": _normal(rng, vocabulary, HIDDEN, scale=0.3),
    }
    for layer in range(LAYERS):
        stem = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            weights[f"{stem}.self_attn.{name}.weight"] = _normal(rng, HIDDEN, HIDDEN, scale=0.12)
        for name, shape in (
            ("gate_proj", (INNER, HIDDEN)),
            ("up_proj", (INNER, HIDDEN)),
            ("down_proj", (HIDDEN, INNER)),
        ):
            weights[f"{stem}.mlp.{name}.weight"] = _normal(rng, *shape, scale=0.12)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{stem}.{name}.weight"] = np.ones(HIDDEN, dtype=np.float32)
    return weights


def _normal(rng: np.random.Generator, *shape: int, scale: float) -> NDArray[np.float32]:
    return np.asarray(rng.standard_normal(shape) * scale, dtype=np.float32)
