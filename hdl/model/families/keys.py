"""The keys of a Hugging Face `config.json` that families share: those that leave the network as it is, and those that
make another network of it. They are those of `transformers` 2 to 5 and of published models.

A key with null, or with nothing in it, counts as left out.
"""

from typing import Any

__all__ = ["HARMLESS", "LEARNED", "OTHER_NETWORKS", "SAME_HEADS", "SIZES", "plain"]


def plain(keys: str, *values: Any) -> dict[str, tuple[Any, ...]]:
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
    **plain("auto_map quantization_config compression_config adapters adapter_fusion peft_config"),
    **plain("lora_rank lora_alpha lora_r pre_seq_len"),
    # Other parts, or layers that differ.
    **plain("pruned_heads per_layer_config block_configs num_hidden_groups inner_group_num"),
    **plain("encoder decoder text_config vision_config audio_config backbone_config cross_attention_hidden_size"),
    **plain("is_encoder_decoder add_cross_attention", False),
    **plain("max_2d_position_embeddings task_type_vocab_size use_task_id", False),
    # Experts.
    **plain("num_local_experts num_experts n_routed_experts n_shared_experts num_experts_per_tok", 0),
    **plain("moe_intermediate_size moe_layer_freq moe_every_n_layers", 0),
    # Attention of another kind.
    **plain("sliding_window attention_window kv_lora_rank q_lora_rank no_rope_layers"),
    **plain("attn_logit_softcapping final_logit_softcapping clip_qkv query_pre_attn_scalar"),
    **plain("use_sliding_window multi_query parallel_attn use_parallel_residual", False),
    **plain("use_qk_norm qk_norm qk_layernorm", False),
    **plain("layer_types", "full_attention"),
    **plain("attention_type", "original_full"),
    # Feed-forward parts of another kind.
    **plain("feed_forward_type", "original"),
    **plain("is_gated_act is_glu_act use_glu gated_mlp", False),
    # Factors.
    **plain("scale_embedding", False),
    **plain("embedding_multiplier attention_multiplier residual_multiplier logits_scaling", 1),
    **plain("mup_embeddings_scale mup_output_alpha mup_width_scale", 1),
}
"""What no plain network of any family has."""

LEARNED = {
    # Positions that are not learned, or not added to the words' vectors.
    **plain("position_embedding_type", "absolute"),
    **plain("rope_theta rope_scaling rope_parameters rotary_dim rotary_pct rotary_emb_base"),
    **plain("partial_rotary_factor rotary_emb_fraction", 0),
    **plain("rotary rotary_value use_rotary_embeddings alibi use_alibi", False),
    **plain("relative_attention relative_attention_num_buckets max_relative_position", False),
    # Layers of another make.
    **plain("rms_norm_eps"),
    **plain("rms_norm use_rms_norm", False),
    **plain("use_bias attention_bias mlp_bias qkv_bias qkv_proj_bias enable_bias", True),
    **plain("layer_norm_elementwise_affine", True),
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
