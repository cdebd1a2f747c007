"""Writes the tokenizer of a GGUF file as a folder that Hugging Face reads too.

    write_tokenizer(reader, folder)     # reader: gguf.GGUFReader

Model "gpt2" (byte-level BPE) and model "llama" (SentencePiece BPE with scores,
as Gemma has it) become tokenizer.json and tokenizer_config.json. Needs the
packages gguf and numpy. As a program: gguf_tokenizer.py FILE.gguf FOLDER;
--sentencepiece writes tokenizer.model in place of tokenizer.json.
"""

import argparse
import json
import os
import struct
import sys

# Token types of GGUF.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

SPACE = "\u2581"  # stands for a space in SentencePiece's pieces

GPT2_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_PATTERN = LLAMA3_PATTERN.replace(r"\p{N}{1,3}", r"\p{N}")


def _split_then_bytes(pattern):
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    return {
        "type": "Sequence",
        "pretokenizers": [split, dict(GPT2_BYTE_LEVEL, use_regex=False)],
    }


# By "tokenizer.ggml.pre".
PRE_TOKENIZERS = {
    # Every character of category N alone, then GPT-2's pattern.
    "smollm": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            GPT2_BYTE_LEVEL,
        ],
    },
    "gpt-2": GPT2_BYTE_LEVEL,
    "llama-bpe": _split_then_bytes(LLAMA3_PATTERN),
    "qwen2": _split_then_bytes(QWEN2_PATTERN),
}
# Those whose text is brought into a normal form first.
NORMALIZERS = {"qwen2": {"type": "NFC"}}
# Those where a word that is a piece needs no merges.
IGNORES_MERGES = {"llama-bpe"}


class _Fields:
    """The fields tokenizer.ggml.* of a reader."""

    def __init__(self, reader):
        self._fields = reader.fields

    def get(self, name, default=None):
        field = self._fields.get("tokenizer.ggml." + name)
        return default if field is None else field.contents()

    def need(self, name):
        value = self.get(name)
        if value is None:
            raise ValueError(f"the GGUF file has no tokenizer.ggml.{name}")
        return value

    def token(self, name, tokens):
        token_id = self.get(name)
        if token_id is None:
            return None
        if not 0 <= token_id < len(tokens):
            raise ValueError(f"tokenizer.ggml.{name} {token_id} is no token")
        return tokens[token_id]


def write_tokenizer(reader, folder, sentencepiece=False):
    """Returns the names of the files written into `folder`, which exists.

    Raises ValueError where the file has a tokenizer of another kind.
    """
    fields = _Fields(reader)
    kind = fields.need("model")
    tokens = fields.need("tokens")
    types = fields.get("token_type") or [NORMAL] * len(tokens)
    if len(types) != len(tokens):
        raise ValueError(f"{len(tokens)} tokens have {len(types)} types")
    if kind == "gpt2" and not sentencepiece:
        files = {"tokenizer.json": _json(_byte_level(fields, tokens, types))}
    elif kind == "llama":
        pieces = _pieces(fields, tokens, types)
        if sentencepiece:
            files = {"tokenizer.model": _proto(fields, pieces)}
        else:
            files = {"tokenizer.json": _json(_scored(fields, pieces))}
    else:
        raise ValueError(f"a tokenizer of GGUF model {kind!r} is not supported")
    files["tokenizer_config.json"] = _json(
        _config(reader, fields, tokens, adds_bos=kind == "llama"), indent=2
    )
    for name, content in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)
    return list(files)


def _json(value, indent=None):
    separators = None if indent else (",", ":")
    text = json.dumps(
        value, ensure_ascii=False, indent=indent, separators=separators
    )
    return text.encode()


def _config(reader, fields, tokens, adds_bos):
    # GGUF's own default is that only the model "llama" adds BOS.
    config = {
        "add_bos_token": bool(fields.get("add_bos_token", adds_bos)),
        "add_eos_token": bool(fields.get("add_eos_token", False)),
        "bos_token": fields.token("bos_token_id", tokens),
        "eos_token": fields.token("eos_token_id", tokens),
        "unk_token": fields.token("unknown_token_id", tokens),
        "pad_token": fields.token("padding_token_id", tokens),
        "clean_up_tokenization_spaces": False,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    template = reader.fields.get("tokenizer.chat_template")
    if template is not None:
        config["chat_template"] = template.contents()
    return config


def _added(token_id, content, special):
    return {
        "id": token_id,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def _file(added, normalizer, pre_tokenizer, post, decoder, model):
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        **model,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post,
        "decoder": decoder,
        "model": model,
    }


def _byte_level(fields, tokens, types):
    pre = fields.get("pre", "gpt-2")
    if pre not in PRE_TOKENIZERS:
        known = ", ".join(PRE_TOKENIZERS)
        raise ValueError(f"pre-tokenizer {pre!r} is not known ({known})")
    added = [
        _added(i, tokens[i], types[i] == CONTROL)
        for i in range(len(tokens))
        if types[i] in (CONTROL, USER_DEFINED)
    ]
    model = {
        "ignore_merges": pre in IGNORES_MERGES,
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": fields.need("merges"),
    }
    byte_level = dict(GPT2_BYTE_LEVEL, add_prefix_space=True)
    return _file(
        added,
        NORMALIZERS.get(pre),
        PRE_TOKENIZERS[pre],
        None,
        byte_level,
        model,
    )


def _pieces(fields, tokens, types):
    """(text, score, type) by id; spaces as SentencePiece writes them."""
    scores = fields.need("scores")
    if len(scores) != len(tokens):
        raise ValueError(f"{len(tokens)} tokens have {len(scores)} scores")
    unknown = fields.get("unknown_token_id", 0)
    pieces = []
    for i, token in enumerate(tokens):
        # Runs of spaces are stored as they stand in a text.
        if types[i] == USER_DEFINED and token.strip(" ") == "":
            token = SPACE * len(token)
        pieces.append((token, scores[i], UNKNOWN if i == unknown else types[i]))
    return pieces


def _merges(pieces):
    """Every way to make a piece of two, the best piece first.

    As Hugging Face's conversion: user-defined pieces come before all others,
    in the order of their ids, and so do, of the ways to make one piece, those
    whose parts have the lower ids.
    """
    ids = {text: i for i, (text, _, _) in enumerate(pieces)}
    ranked = []
    for text, score, kind in pieces:
        if kind not in (NORMAL, USER_DEFINED):
            continue
        halves = [(text[:k], text[k:]) for k in range(1, len(text))]
        halves = [h for h in halves if h[0] in ids and h[1] in ids]
        halves.sort(key=lambda h: (ids[h[0]], ids[h[1]]))
        rank = float("-inf") if kind == USER_DEFINED else -score
        ranked.extend((rank, half) for half in halves)
    ranked.sort(key=lambda entry: entry[0])
    return [half for _, half in ranked]


def _scored(fields, pieces):
    prefix = bool(fields.get("add_space_prefix", True))
    special = (CONTROL, UNKNOWN)
    added = [
        _added(i, text, kind in special)
        for i, (text, _, kind) in enumerate(pieces)
        if kind in special or kind == USER_DEFINED
    ]
    normalizer = {
        "type": "Replace",
        "pattern": {"String": " "},
        "content": SPACE,
    }
    decoders = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if prefix:
        prepend = {"type": "Prepend", "prepend": SPACE}
        normalizer = {"type": "Sequence", "normalizers": [prepend, normalizer]}
        decoders.append(
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        )
    unknown = next(text for text, _, kind in pieces if kind == UNKNOWN)
    model = {
        "unk_token": unknown,
        "fuse_unk": True,
        "byte_fallback": True,
        "vocab": {text: i for i, (text, _, _) in enumerate(pieces)},
        # As pairs: pieces may hold spaces.
        "merges": _merges(pieces),
    }
    decoder = {"type": "Sequence", "decoders": decoders}
    return _file(added, normalizer, None, None, decoder, model)


# The few messages of sentencepiece_model.proto, written by hand, so that no
# protobuf package is needed.
def _varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field, value):
    return _varint(field << 3) + _varint(int(value))


def _bytes(field, value):
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _proto(fields, pieces):
    out = bytearray()
    for text, score, kind in pieces:
        piece = _bytes(1, text.encode())
        piece += _varint(2 << 3 | 5) + struct.pack("<f", score)
        out += _bytes(1, piece + _number(3, kind))
    ids = ("unknown_token_id", "bos_token_id", "eos_token_id")
    trainer = _number(3, 2)  # model_type BPE
    trainer += _number(4, len(pieces))
    trainer += _number(35, 1)  # byte_fallback
    # unk_id, bos_id, eos_id, pad_id and the pieces that they stand for.
    for i, name in enumerate((*ids, "padding_token_id")):
        token_id = fields.get(name, -1)
        trainer += _number(40 + i, token_id)
        if token_id >= 0:
            trainer += _bytes(45 + i, pieces[token_id][0].encode())
    normalizer = _bytes(1, b"identity")
    normalizer += _number(3, fields.get("add_space_prefix", True))
    normalizer += _number(4, 0)  # remove_extra_whitespaces
    normalizer += _number(5, 1)  # escape_whitespaces
    return bytes(out + _bytes(2, trainer) + _bytes(3, normalizer))


def main():
    import gguf

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gguf")
    parser.add_argument("folder")
    parser.add_argument("--sentencepiece", action="store_true")
    arguments = parser.parse_args()
    os.makedirs(arguments.folder, exist_ok=True)
    try:
        reader = gguf.GGUFReader(arguments.gguf)
        names = write_tokenizer(
            reader, arguments.folder, arguments.sentencepiece
        )
    except (OSError, ValueError) as error:
        sys.exit(f"gguf_tokenizer: {arguments.gguf}: {error}")
    print(f"{arguments.folder}: {', '.join(names)}")


if __name__ == "__main__":
    main()
