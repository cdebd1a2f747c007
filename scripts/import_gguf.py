"""GGUF file to Hugging Face style folder; run it through scripts/import_gguf.

The architectures are data: what a GGUF file leaves to code, and the names of
its tensors. Matrices are dequantised to fp32 by the gguf package.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile

import gguf
import numpy as np
from safetensors.numpy import save_file

LAYER_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
TOP_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}

# `permuted`: rows of q and k stand as RoPE of neighbouring pairs wants them.
# `norm_offset`: the file stores the norms' weights plus it.
ARCHITECTURES = {
    "llama": {
        "names": {"ffn_norm": "post_attention_layernorm"},
        "permuted": True,
        "norm_offset": 0,
        "config": {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
        },
        "rope_base": 1e4,
    },
    "gemma3": {
        "names": {
            "attn_q_norm": "self_attn.q_norm",
            "attn_k_norm": "self_attn.k_norm",
            "post_attention_norm": "post_attention_layernorm",
            "ffn_norm": "pre_feedforward_layernorm",
            "post_ffw_norm": "post_feedforward_layernorm",
        },
        "permuted": False,
        "norm_offset": 1,
        "config": {
            "architectures": ["Gemma3ForCausalLM"],
            "model_type": "gemma3_text",
            "hidden_activation": "gelu_pytorch_tanh",
            "rope_local_base_freq": 10000.0,
            "sliding_window_pattern": 6,
        },
        "rope_base": 1e6,
    },
}


class Metadata:
    """The file's keys, those of the architecture under its name."""

    def __init__(self, reader):
        self.reader = reader
        self.architecture = self.get("general.architecture")

    def get(self, key, default=None):
        field = self.reader.fields.get(key)
        if field is None:
            if default is None:
                fail(f"key {key} is missing in the file")
            return default
        return field.contents()

    def own(self, key, default=None):
        return self.get(f"{self.architecture}.{key}", default)


def fail(message):
    sys.exit(f"import_gguf: {message}")


def model_config(meta, rules, tensors):
    heads = int(meta.own("attention.head_count"))
    width = int(meta.own("embedding_length"))
    head_dim = int(meta.own("attention.key_length", width // heads))
    config = dict(rules["config"])
    config.update(
        {
            "vocab_size": int(tensors["token_embd.weight"].shape[1]),
            "hidden_size": width,
            "num_hidden_layers": int(meta.own("block_count")),
            "num_attention_heads": heads,
            "num_key_value_heads": int(meta.own("attention.head_count_kv", heads)),
            "head_dim": head_dim,
            "intermediate_size": int(meta.own("feed_forward_length")),
            "max_position_embeddings": int(meta.own("context_length")),
            # The file holds a float32 of a short decimal number.
            "rms_norm_eps": float(
                f"{float(meta.own('attention.layer_norm_rms_epsilon')):.6g}"
            ),
            "rope_theta": float(meta.own("rope.freq_base", rules["rope_base"])),
            "tie_word_embeddings": "output.weight" not in tensors,
        }
    )
    if meta.own("rope.scaling.type", "none") not in ("none", ""):
        kind = meta.own("rope.scaling.type")
        if kind != "linear":
            fail(f"rope scaling {kind} cannot be converted")
        config["rope_scaling"] = {
            "rope_type": "linear",
            "factor": float(meta.own("rope.scaling.factor")),
        }
    window = int(meta.own("attention.sliding_window", 0))
    if window:
        config["sliding_window"] = window
    if meta.architecture == "gemma3":
        # Not in the file: the scores' scale follows from the head size in all
        # sizes but the largest, where it follows from the width per head.
        scalar = width // heads if config["num_hidden_layers"] == 62 else head_dim
        config["query_pre_attn_scalar"] = scalar
    for key, name in (
        ("tokenizer.ggml.bos_token_id", "bos_token_id"),
        ("tokenizer.ggml.eos_token_id", "eos_token_id"),
    ):
        if key in meta.reader.fields:
            config[name] = int(meta.get(key))
    return config


def theirs(name, rules):
    stem, _, kind = name.rpartition(".")
    if stem in TOP_NAMES:
        return f"{TOP_NAMES[stem]}.{kind}"
    parts = stem.split(".", 2)
    layer_names = {**LAYER_NAMES, **rules["names"]}
    if len(parts) == 3 and parts[0] == "blk" and parts[2] in layer_names:
        return f"model.layers.{int(parts[1])}.{layer_names[parts[2]]}.{kind}"
    if stem == "rope_freqs":
        fail("its rope_freqs (llama3 scaling) cannot be converted")
    fail(f"tensor {name} has no known counterpart")


def half_split(rows, heads):
    """Rows of pairs (2i, 2i + 1) to rows of pairs (i, i + D / 2)."""
    dim = rows.shape[0] // heads
    paired = rows.reshape(heads, dim // 2, 2, *rows.shape[1:])
    return paired.swapaxes(1, 2).reshape(rows.shape)


def convert(name, tensor, config, rules):
    values = gguf.dequantize(tensor.data, tensor.tensor_type)
    values = np.asarray(values, dtype=np.float32)
    values = values.reshape([int(n) for n in reversed(tensor.shape)])
    if rules["permuted"] and ".attn_q." in name:
        values = half_split(values, config["num_attention_heads"])
    if rules["permuted"] and ".attn_k." in name:
        values = half_split(values, config["num_key_value_heads"])
    if values.ndim == 1 and "norm" in name:
        values = values - np.float32(rules["norm_offset"])
    return np.ascontiguousarray(values)


def to_bf16(values):
    """Bits of the nearest bf16, ties to even."""
    bits = values.view(np.uint32)
    bits = bits + 0x7FFF + ((bits >> 16) & 1)
    return (bits >> 16).astype(np.uint16)


def write_bf16(path, tensors):
    """safetensors itself: NumPy has no bf16."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, values in tensors.items():
        size = 2 * values.size
        header[name] = {
            "dtype": "BF16",
            "shape": list(values.shape),
            "data_offsets": [offset, offset + size],
        }
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for values in tensors.values():
            out.write(to_bf16(values).tobytes())


def write_folder(reader, folder, dtype):
    meta = Metadata(reader)
    rules = ARCHITECTURES.get(meta.architecture)
    if rules is None:
        fail(
            f"architecture {meta.architecture} is not one of "
            f"{', '.join(sorted(ARCHITECTURES))}"
        )
    found = {tensor.name: tensor for tensor in reader.tensors}
    if "token_embd.weight" not in found:
        fail("the file has no token embedding")
    config = model_config(meta, rules, found)
    config["torch_dtype"] = {"fp32": "float32", "bf16": "bfloat16"}[dtype]
    tensors = {
        theirs(name, rules): convert(name, tensor, config, rules)
        for name, tensor in found.items()
    }
    path = os.path.join(folder, "model.safetensors")
    if dtype == "bf16":
        write_bf16(path, tensors)
    else:
        save_file(tensors, path, metadata={"format": "pt"})
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump(config, out, indent=2)
        out.write("\n")
    write_tokenizer_files(reader, folder)


def write_tokenizer_files(reader, folder):
    try:
        from gguf_tokenizer import write_tokenizer
    except ImportError:
        print("import_gguf: no tokenizer files written", file=sys.stderr)
        return
    write_tokenizer(reader, folder)


def main():
    parser = argparse.ArgumentParser(prog="import_gguf")
    parser.add_argument("file")
    parser.add_argument("folder", help="must not exist")
    parser.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32")
    args = parser.parse_args()
    if os.path.exists(args.folder):
        fail(f"{args.folder} exists: name a new folder")
    try:
        reader = gguf.GGUFReader(args.file)
    except (OSError, ValueError, IndexError) as error:
        fail(f"{args.file} cannot be read as GGUF: {error}")
    parent = os.path.dirname(os.path.abspath(args.folder))
    os.makedirs(parent, exist_ok=True)
    # Whole or not at all.
    building = tempfile.mkdtemp(prefix=".import-", dir=parent)
    try:
        write_folder(reader, building, args.dtype)
        os.chmod(building, 0o755)
        os.rename(building, args.folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


if __name__ == "__main__":
    main()
