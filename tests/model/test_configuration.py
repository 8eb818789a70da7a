"""The keys of a `config.json`: those of another network are refused, those that are ignored are told."""

import warnings
from collections.abc import Mapping
from typing import Any

import pytest

from hdl.errors import InputError
from hdl.model.configuration import Configuration
from hdl.model.families import FAMILIES
from hdl.model.network import Network
from hdl.notices import Notice

SIZES = {"num_hidden_layers": 3, "hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": 32}
SIZES |= {"vocab_size": 100}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": SIZES | {"intermediate_size": 96, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu"},
    "gpt2": {"n_layer": 3, "n_embd": 64, "n_head": 4, "n_positions": 32, "vocab_size": 100,
             "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"},
    "opt": SIZES | {"ffn_dim": 96, "do_layer_norm_before": True},
    "llama": SIZES | {"intermediate_size": 96, "rms_norm_eps": 1e-6, "hidden_act": "silu", "rope_theta": 10000.0},
}  # fmt: skip
CONFIGS = {family: config | {"model_type": family} for family, config in CONFIGS.items()}
TITLES = {"bert": "BERT", "gpt2": "GPT-2", "opt": "OPT", "llama": "LLaMA"}

PUBLISHED: dict[str, dict[str, Any]] = {
    # As transformers 4 writes them: bert-base-uncased, a sentence transformer, gpt2, opt-125m, Llama-3.2-1B.
    "bert-base": {
        "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "gradient_checkpointing": False,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02,
        "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 0, "position_embedding_type": "absolute",
        "transformers_version": "4.6.0.dev0", "type_vocab_size": 2, "use_cache": True, "vocab_size": 30522,
    },
    "bert-base-chinese": {
        "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "directionality": "bidi",
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02,
        "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 0, "pooler_fc_size": 768,
        "pooler_num_attention_heads": 12, "pooler_num_fc_layers": 3, "pooler_size_per_head": 128,
        "pooler_type": "first_token_transform", "type_vocab_size": 2, "vocab_size": 21128,
    },
    "classifier": {
        "_name_or_path": "bert-base-cased", "architectures": ["BertForSequenceClassification"],
        "attention_probs_dropout_prob": 0.1, "classifier_dropout": None, "finetuning_task": "mnli",
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "id2label": {"0": "a", "1": "b"},
        "initializer_range": 0.02, "intermediate_size": 3072, "label2id": {"a": 0, "b": 1}, "layer_norm_eps": 1e-12,
        "max_position_embeddings": 512, "model_type": "bert", "num_attention_heads": 12, "num_hidden_layers": 12,
        "pad_token_id": 0, "position_embedding_type": "absolute", "problem_type": "single_label_classification",
        "torch_dtype": "float32", "transformers_version": "4.21.0", "type_vocab_size": 2, "use_cache": True,
        "vocab_size": 28996,
    },
    "gpt2": {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_inner": None,
        "n_layer": 12, "n_positions": 1024, "reorder_and_upcast_attn": False, "resid_pdrop": 0.1,
        "scale_attn_by_inverse_layer_idx": False, "scale_attn_weights": True, "summary_activation": None,
        "summary_first_dropout": 0.1, "summary_proj_to_labels": True, "summary_type": "cls_index",
        "summary_use_proj": True, "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "transformers_version": "4.46.3", "use_cache": True, "vocab_size": 50257,
    },
    "opt-125m": {
        "_name_or_path": "facebook/opt-125m", "_remove_final_layer_norm": False, "activation_dropout": 0.0,
        "activation_function": "relu", "architectures": ["OPTForCausalLM"], "attention_dropout": 0.0,
        "bos_token_id": 2, "do_layer_norm_before": True, "dropout": 0.1, "eos_token_id": 2, "ffn_dim": 3072,
        "hidden_size": 768, "init_std": 0.02, "layerdrop": 0.0, "max_position_embeddings": 2048, "model_type": "opt",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "prefix": "</s>",
        "torch_dtype": "float16", "transformers_version": "4.21.0.dev0", "use_cache": True, "vocab_size": 50272,
        "word_embed_proj_dim": 768,
    },
    "llama-3.2-1b": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": 128001, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048,
        "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {
            "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0.dev0", "use_cache": True, "vocab_size": 128256,
    },
}  # fmt: skip


def loaded(config: Mapping[str, Any]) -> tuple[Network, list[str]]:
    """The network of a configuration, and what is told of it."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = Configuration.of(config, "c.json").network("c")
    assert {one.category for one in told} <= {Notice}
    return found, [str(one.message) for one in told]


def refused(config: Any) -> str:
    with pytest.raises(InputError) as error:
        loaded(config)
    return str(error.value)


@pytest.mark.parametrize("name", PUBLISHED)
def test_nothing_is_told_of_published_models(name: str) -> None:
    assert loaded(PUBLISHED[name])[1] == []


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"auto_map": {"AutoModel": "own.Own"}}, "auto_map in c.json must be left out, not {'AutoModel': 'own.Own'}"),
        ({"pruned_heads": {"0": [1]}}, "pruned_heads in c.json must be left out, not {'0': [1]}"),
        ({"feed_forward_type": "geglu"}, "feed_forward_type in c.json must be 'original' or left out, not 'geglu'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config in c.json must be left out, not {'bits': 4}"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder in c.json must be false or left out, not true"),
        ({"add_cross_attention": True}, "add_cross_attention in c.json must be false or left out, not true"),
        ({"num_local_experts": 8}, "num_local_experts in c.json must be 0 or left out, not 8"),
        (
            {"layer_types": ["full_attention", "sliding_attention"]},
            "layer_types in c.json must be 'full_attention' or left out, not ['full_attention', 'sliding_attention']",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_other_networks_of_any_family_are_refused(family: str, change: dict[str, Any], message: str) -> None:
    expected = f"{message}; it makes another network than a plain {TITLES[family]}"
    assert refused(CONFIGS[family] | change) == expected


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("bert", {"position_embedding_type": "relative_key"}, "must be 'absolute' or left out, not 'relative_key'"),
        ("bert", {"position_embedding_type": "alibi"}, "must be 'absolute' or left out, not 'alibi'"),
        ("bert", {"is_decoder": True}, "must be false or left out, not true"),
        ("bert", {"rope_theta": 10000.0}, "must be left out, not 10000.0"),
        ("gpt2", {"alibi": True}, "must be false or left out, not true"),
        ("gpt2", {"scale_attn_weights": False}, "must be true or left out, not false"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "must be false or left out, not true"),
        ("gpt2", {"tie_word_embeddings": False}, "must be true or left out, not false"),
        ("opt", {"sliding_window": 4096}, "must be left out, not 4096"),
        ("opt", {"do_layer_norm_before": False}, "must be true or left out, not false"),
    ],
)
def test_other_networks_of_a_family_are_refused(family: str, change: dict[str, Any], message: str) -> None:
    (key,) = change
    expected = f"{key} in c.json {message}; it makes another network than a plain {TITLES[family]}"
    assert refused(CONFIGS[family] | change) == expected


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("bert", {"num_key_value_heads": 2}, "must be 4, the model's number of heads, not 2"),
        ("gpt2", {"head_dim": 32}, "must be 16, the model's size of its heads, not 32"),
        ("bert", {"embedding_size": 32}, "must be 64, the model's hidden size, not 32"),
        ("opt", {"word_embed_proj_dim": "64"}, "must be 64, the model's hidden size, not '64'"),
    ],
)
def test_sizes_that_must_be_the_same(family: str, change: dict[str, Any], message: str) -> None:
    (key,) = change
    assert refused(CONFIGS[family] | change) == f"{key} in c.json {message}"


@pytest.mark.parametrize("family", CONFIGS)
def test_values_of_the_plain_network_are_silent(family: str) -> None:
    own = FAMILIES[family].keys
    plain = {key: values[0] for key, values in own.plain.items() if values}
    nothing: dict[str, Any] = dict.fromkeys(set(own.plain) - set(plain))
    nothing |= {"auto_map": {}, "pruned_heads": {}, "adapters": {"adapters": {}, "fusions": {}}, "new_key": None}
    lists = {"layer_types": ["full_attention"] * 3}
    assert loaded(CONFIGS[family] | plain | nothing | lists) == loaded(CONFIGS[family])


@pytest.mark.parametrize("family", CONFIGS)
def test_unknown_keys_are_told(family: str) -> None:
    network, told = loaded(CONFIGS[family] | {"fancy": True, "\ud800": 1, "hidden_dropout": 0.1})
    assert network == loaded(CONFIGS[family])[0]
    assert told == [
        "c.json has keys that are not known and are ignored: 'fancy', '\\ud800'; "
        f"the network is taken for a plain {TITLES[family]}"
    ]


def test_many_unknown_keys_are_one_short_line() -> None:
    (told,) = loaded(CONFIGS["bert"] | {f"{number}{'x' * 1000}": 0 for number in range(1000)})[1]
    assert len(told) < 1000
    assert told.endswith("' and 992 more; the network is taken for a plain BERT")


@pytest.mark.parametrize(
    ("family", "architecture"),
    [("bert", "BertForSequenceClassification"), ("gpt2", "GPT2DoubleHeadsModel"), ("opt", "OPTForCausalLM"),
     ("llama", "LLaMAForCausalLM"), ("gpt2", "TFGPT2Model")],
)  # fmt: skip
def test_classes_of_the_family_are_silent_and_tell_it(family: str, architecture: str) -> None:
    config = CONFIGS[family] | {"architectures": [architecture]}
    assert loaded(config) == loaded(CONFIGS[family])
    del config["model_type"]
    network, told = loaded(config)
    assert network == loaded(CONFIGS[family])[0]
    assert told == [f"c.json has no model_type; it is read as {TITLES[family]}'s, as its other keys say"]


def test_other_classes_are_told() -> None:
    told = loaded(CONFIGS["bert"] | {"architectures": ["JinaBertModel"]})[1]
    assert told == ["c.json is of the class 'JinaBertModel', which is not known; the network is taken for a plain BERT"]
    message = "architectures in c.json must be a list of names, not "
    assert refused(CONFIGS["bert"] | {"architectures": "BertModel"}) == f"{message}'BertModel'"
    assert refused(CONFIGS["bert"] | {"architectures": [1]}) == f"{message}[1]"


@pytest.mark.parametrize("family", CONFIGS)
def test_family_of_a_configuration_without_model_type(family: str) -> None:
    config = {key: value for key, value in CONFIGS[family].items() if key != "model_type"}
    network, told = loaded(config)
    assert network == loaded(CONFIGS[family])[0]
    assert told == [f"c.json has no model_type; it is read as {TITLES[family]}'s, as its other keys say"]


def test_configurations_whose_family_cannot_be_told() -> None:
    assert refused(SIZES) == (
        "c.json must be a Hugging Face configuration with a model_type; take the file beside the weights"
    )
    assert refused(SIZES | {"architectures": ["RobertaModel"]}) == (
        "c.json has no model_type, which must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit, "
        "and is of the class 'RobertaModel'"
    )
    for contents, text in (([1], "[1]"), (None, "null"), ("bert", "'bert'"), (1.5, "1.5")):
        assert refused(contents) == f"c.json must be a Hugging Face configuration, a JSON object, not {text}"
    for family in ("roberta", ["bert"], {"bert": 1}, 1, True):
        assert refused(SIZES | {"model_type": family}).startswith(
            "model_type in c.json must be bert, gpt2, llama, mistral, qwen2, opt, qwen3, vit or deit, not "
        )


def test_defaults_of_hugging_face_are_told() -> None:
    left_out = ("type_vocab_size", "layer_norm_eps", "hidden_act")
    model, told = loaded({key: value for key, value in CONFIGS["bert"].items() if key not in left_out})
    assert model == loaded(CONFIGS["bert"])[0]
    values = "type_vocab_size 2, layer_norm_eps 1e-12, hidden_act 'gelu'"
    assert told == [f"c.json leaves out what Hugging Face has defaults for; they are used: {values}"]
    model, told = loaded(CONFIGS["gpt2"] | {"layer_norm_epsilon": None, "activation_function": None})
    assert model == loaded(CONFIGS["gpt2"])[0]
    values = "layer_norm_epsilon 1e-05, activation_function 'gelu_new'"
    assert told == [f"c.json leaves out what Hugging Face has defaults for; they are used: {values}"]


def test_other_names_of_the_sizes_of_gpt2() -> None:
    names = {"n_layer": "num_hidden_layers", "n_embd": "hidden_size"}
    config = {names.get(key, key): value for key, value in CONFIGS["gpt2"].items()}
    assert loaded(config) == loaded(CONFIGS["gpt2"]) == loaded(CONFIGS["gpt2"] | {"hidden_size": 64})
    message = "n_layer and num_hidden_layers in c.json must be the same number, not 4 and 3"
    assert refused(config | {"n_layer": 4}) == message


def test_values_of_any_size_are_one_short_line() -> None:
    deep: Any = {"a": 1}
    for _ in range(500):
        deep = {"a": [deep]}
    values = [deep, "x" * 100_000, 10**4000, [["x" * 1000] * 1000] * 1000]
    for value in values:
        for key in CONFIGS["bert"] | {"pruned_heads": 0, "architectures": 0, "embedding_size": 0}:
            message = refused(CONFIGS["bert"] | {key: value})
            assert len(message) < 400
            assert "\n" not in message


@pytest.mark.parametrize("family", CONFIGS)
def test_configurations_that_are_incomplete(family: str) -> None:
    for lacking in FAMILIES[family].keys.shape:
        config = {key: value for key, value in CONFIGS[family].items() if key != lacking}
        assert refused(config) == f"c.json lacks the field {lacking!r}"
