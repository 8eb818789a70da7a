"""The keys of a Hugging Face `config.json`, by family: those of the shape, those that leave the network as it is, and
those that make another network of it. They are those of `transformers` 2 to 5 and of published models.

A key with null, or with nothing in it, counts as left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["KEYS", "FamilyKeys", "of_families"]


@dataclass(frozen=True, kw_only=True)
class FamilyKeys:
    """What the keys of a family's configuration mean.

    Attributes:
        title: The family's name in sentences.
        marks: Keys that only this family has, and always; a file without model_type is recognised by one of them.
        classes: A pattern of the classes of `transformers` that compute this network.
        shape: Keys that must be there, and the field of a spec that each is.
        defaults: Keys of the same kind that may be left out, and Hugging Face's values for them.
        derived: Keys of the same kind that are left out where their value follows from others.
        aliases: Other names of the keys above.
        plain: Keys that may change what the network computes, and the values with which they do not.
        same: Keys that must be as large as a field of the spec, as another size makes another network.
        harmless: Patterns of keys that never change what the network computes, in a line.
    """

    title: str
    marks: frozenset[str]
    classes: str
    shape: Mapping[str, str]
    defaults: Mapping[str, tuple[str, Any]]
    derived: Mapping[str, str]
    aliases: Mapping[str, str]
    plain: Mapping[str, tuple[Any, ...]]
    same: Mapping[str, str]
    harmless: str


def _plain(keys: str, *values: Any) -> dict[str, tuple[Any, ...]]:
    """These keys, each with the ``values`` of the plain network; without any, they must be left out."""
    return dict.fromkeys(keys.split(), values)


HARMLESS = (
    # Where the file comes from, and what wrote it.
    "model_type architectures transformers_version _name_or_path name_or_path _commit_hash transformers.js_config "
    "language unsloth_fixed unsloth_version "
    # How it runs: formats, kernels, outputs beside the result.
    "dtype torch_dtype use_bfloat16 torchscript return_dict output_hidden_states output_attentions output_past "
    "use_cache gradient_checkpointing chunk_size_feed_forward xla_device tf_legacy_loss attn_implementation "
    "_attn_implementation _attn_implementation_autoset _attn_implementation_internal "
    # Training alone.
    "initializer_range initializer_factor init_std *dropout *dropout_prob layerdrop *_pdrop "
    # Tokens, and how text is generated from scores.
    "*_token_id tokenizer_class prefix max_length min_length do_sample early_stopping num_beams num_beam_groups "
    "diversity_penalty temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size "
    "encoder_no_repeat_ngram_size bad_words_ids num_return_sequences output_scores return_dict_in_generate "
    "remove_invalid_values exponential_decay_length_penalty suppress_tokens begin_suppress_tokens "
    # Heads of tasks, which the hardware does not have.
    "task_specific_params finetuning_task problem_type id2label label2id num_labels _num_labels sentence_transformers "
    "sbert_ce_default_activation_function tie_encoder_decoder"
)
"""Patterns of keys that never change what the network computes."""

OTHER_NETWORKS = {
    # Code, weights or adapters of its own.
    **_plain("auto_map quantization_config compression_config adapters adapter_fusion peft_config"),
    **_plain("lora_rank lora_alpha lora_r pre_seq_len"),
    # Other parts, or layers that differ.
    **_plain("pruned_heads per_layer_config block_configs num_hidden_groups inner_group_num"),
    **_plain("encoder decoder text_config vision_config audio_config backbone_config cross_attention_hidden_size"),
    **_plain("is_encoder_decoder add_cross_attention", False),
    **_plain("max_2d_position_embeddings task_type_vocab_size use_task_id", False),
    # Experts.
    **_plain("num_local_experts num_experts n_routed_experts n_shared_experts num_experts_per_tok", 0),
    **_plain("moe_intermediate_size moe_layer_freq moe_every_n_layers", 0),
    # Attention of another kind.
    **_plain("sliding_window attention_window kv_lora_rank q_lora_rank no_rope_layers"),
    **_plain("attn_logit_softcapping final_logit_softcapping clip_qkv query_pre_attn_scalar"),
    **_plain("use_sliding_window multi_query parallel_attn use_parallel_residual", False),
    **_plain("use_qk_norm qk_norm qk_layernorm", False),
    **_plain("layer_types", "full_attention"),
    **_plain("attention_type", "original_full"),
    # Feed-forward parts of another kind.
    **_plain("feed_forward_type", "original"),
    **_plain("is_gated_act is_glu_act use_glu gated_mlp", False),
    # Factors.
    **_plain("scale_embedding", False),
    **_plain("embedding_multiplier attention_multiplier residual_multiplier logits_scaling", 1),
    **_plain("mup_embeddings_scale mup_output_alpha mup_width_scale", 1),
}
"""What no plain network of any family has."""

LEARNED = {
    # Positions that are not learned, or not added to the words' vectors.
    **_plain("position_embedding_type", "absolute"),
    **_plain("rope_theta rope_scaling rope_parameters rotary_dim rotary_pct rotary_emb_base"),
    **_plain("partial_rotary_factor rotary_emb_fraction", 0),
    **_plain("rotary rotary_value use_rotary_embeddings alibi use_alibi", False),
    **_plain("relative_attention relative_attention_num_buckets max_relative_position", False),
    # Layers of another make.
    **_plain("rms_norm_eps"),
    **_plain("rms_norm use_rms_norm", False),
    **_plain("use_bias attention_bias mlp_bias qkv_bias qkv_proj_bias enable_bias", True),
    **_plain("layer_norm_elementwise_affine", True),
}
"""The same of networks with learned positions, biases and LayerNorms: BERT and GPT-2."""

SAME_HEADS = {"num_key_value_heads": "heads", "head_dim": "head_size", "attention_head_size": "head_size"}

SIZES = {
    "num_hidden_layers": "layers",
    "hidden_size": "hidden",
    "num_attention_heads": "heads",
    "max_position_embeddings": "max_positions",
    "vocab_size": "vocabulary",
}

BERT = FamilyKeys(
    title="BERT",
    marks=frozenset({"type_vocab_size", "attention_probs_dropout_prob"}),
    classes=r"(TF|Flax)?Bert(Model|LMHeadModel|For[A-Z]\w*)",
    shape=SIZES | {"intermediate_size": "intermediate"},
    defaults={
        "type_vocab_size": ("token_types", 2),
        "layer_norm_eps": ("layer_norm_eps", 1e-12),
        "hidden_act": ("activation", "gelu"),
    },
    derived={},
    aliases={},
    plain=OTHER_NETWORKS | LEARNED | _plain("is_decoder prenorm norm_first", False),
    same=SAME_HEADS | {"embedding_size": "hidden"},
    # BERT's pooler and its head for masked words are left out, so it does not matter whether that is tied.
    harmless=f"{HARMLESS} tie_word_embeddings pooler_* directionality",
)

GPT2 = FamilyKeys(
    title="GPT-2",
    marks=frozenset({"n_embd"}),
    classes=r"(TF|Flax)?GPT2(Model|LMHeadModel|DoubleHeadsModel|For[A-Z]\w*)",
    shape={
        "n_layer": "layers",
        "n_embd": "hidden",
        "n_head": "heads",
        "n_positions": "max_positions",
        "vocab_size": "vocabulary",
    },
    defaults={
        "layer_norm_epsilon": ("layer_norm_eps", 1e-5),
        "activation_function": ("activation", "gelu_new"),
    },
    derived={"n_inner": "intermediate"},
    aliases={
        "num_hidden_layers": "n_layer",
        "hidden_size": "n_embd",
        "num_attention_heads": "n_head",
        "max_position_embeddings": "n_positions",
    },
    plain=OTHER_NETWORKS
    | LEARNED
    | _plain("scale_attn_weights tie_word_embeddings", True)
    | _plain("scale_attn_by_inverse_layer_idx", False),
    same=SAME_HEADS | {"embedding_size": "hidden"},
    harmless=f"{HARMLESS} is_decoder n_ctx n_special predict_special_tokens reorder_and_upcast_attn summary_*",
)

OPT = FamilyKeys(
    title="OPT",
    marks=frozenset({"word_embed_proj_dim", "do_layer_norm_before"}),
    classes=r"(TF|Flax)?OPT(Model|For[A-Z]\w*)",
    shape=SIZES | {"ffn_dim": "intermediate"},
    defaults={},
    derived={"tie_word_embeddings": "tied"},
    aliases={},
    plain=OTHER_NETWORKS | _plain("do_layer_norm_before", True),
    same=SAME_HEADS | {"word_embed_proj_dim": "hidden"},
    # It is estimated only, and biases, norms and activations are left out of estimates.
    harmless=f"{HARMLESS} is_decoder activation_function enable_bias layer_norm_elementwise_affine "
    "_remove_final_layer_norm",
)

LLAMA = FamilyKeys(
    title="LLaMA",
    marks=frozenset({"rms_norm_eps"}),
    classes=r"(Flax)?(Llama|LLaMA)(Model|For[A-Z]\w*)",
    shape=SIZES | {"intermediate_size": "intermediate"},
    defaults={},
    derived={"num_key_value_heads": "kv_heads", "head_dim": "head_size", "tie_word_embeddings": "tied"},
    aliases={},
    plain=OTHER_NETWORKS,
    same={},
    # It is estimated only, and biases, norms, activations and the angles of positions are left out of estimates.
    harmless=f"{HARMLESS} is_decoder hidden_act rms_norm_eps attention_bias mlp_bias rope_theta rope_scaling "
    "rope_parameters rope_interleaved pretraining_tp is_llama_config max_sequence_length",
)

KEYS = {"bert": BERT, "gpt2": GPT2, "opt": OPT, "llama": LLAMA}
"""By the ``model_type`` of the configuration."""


def of_families() -> str:
    """'bert, gpt2, opt or llama': the families in a sentence."""
    *first, last = KEYS
    return f"{', '.join(first)} or {last}"
