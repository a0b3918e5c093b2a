"""The operators that an exported program may use: tensors in, tensors out, and nothing else.

A list of what is allowed, since a list of what is not can't be complete: `aten.from_file` creates files, `aten.set_` and
`aten.resize_` reach memory that a tensor does not own, `aten.empty` shows memory that others have left, custom and
higher-order operators run what their authors wrote. Kernels that trust the shapes of their arguments are left out, too:
`aten._weight_norm_interface` and `aten.native_batch_norm` read beyond a tensor that is too short.
"""

from __future__ import annotations

import re

_NAMES = """
_adaptive_avg_pool2d _assert_scalar _assert_tensor_metadata _convolution _log_softmax _safe_softmax _softmax
_to_copy _unsafe_view _upsample_bicubic2d_aa _upsample_bilinear2d_aa abs acos acosh adaptive_avg_pool1d
adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d add addbmm addcdiv addcmul addmm
addmv addr alias all alpha_dropout amax amin aminmax angle any arange argmax argmin argsort as_strided asin
asinh atan atan2 atanh avg_pool1d avg_pool2d avg_pool3d baddbmm batch_norm bernoulli bilinear bitwise_and
bitwise_not bitwise_or bitwise_xor bmm broadcast_tensors broadcast_to bucketize cartesian_prod cat cdist ceil
celu channel_shuffle chunk clamp clamp_max clamp_min clip clone col2im complex concat conj constant_pad_nd
contiguous conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution copy copysign cos
cosh cosine_similarity count_nonzero cross cumprod cumsum deg2rad detach diag diag_embed diagonal diff div
divide dot dropout einsum elu embedding embedding_bag eq erf erfc erfinv exp exp2 expand expand_as expm1 eye
feature_alpha_dropout feature_dropout fill flatten flip fliplr flipud floor floor_divide fmax fmin fmod frac
full full_like gather ge gelu glu grid_sampler grid_sampler_2d group_norm gru_cell gt hardshrink hardsigmoid
hardswish hardtanh hinge_embedding_loss huber_loss hypot im2col imag index index_add index_copy index_fill
index_put index_select instance_norm isclose isfinite isinf isnan item kthvalue layer_norm le leaky_relu lerp
lift_fresh lift_fresh_copy linalg_norm linalg_vector_norm linear linspace log log10 log1p log2 log_sigmoid
log_softmax logaddexp logical_and logical_not logical_or logical_xor logit logspace logsumexp lstm_cell lt
masked_fill masked_scatter masked_select matmul max max_pool1d max_pool2d max_pool2d_with_indices max_pool3d
maximum mean median meshgrid min minimum mish mm mode moveaxis movedim mul multinomial multiply mv nan_to_num
narrow native_dropout native_group_norm native_layer_norm ne neg negative new_full new_ones new_zeros nonzero
norm normal numpy_T one_hot ones ones_like outer pad permute pinverse pixel_shuffle pixel_unshuffle polar pow
prelu prod quantile rad2deg rand rand_like randint randint_like randn randn_like randperm real reciprocal
reflection_pad1d reflection_pad2d reflection_pad3d relu relu6 remainder repeat repeat_interleave
replication_pad1d replication_pad2d replication_pad3d reshape reshape_as resolve_conj resolve_neg rms_norm
rnn_relu_cell rnn_tanh_cell roll rot90 round rrelu rsqrt rsub scalar_tensor scaled_dot_product_attention scatter
scatter_add scatter_reduce searchsorted select select_scatter selu sigmoid sign silu sin sinc sinh slice
slice_scatter softmax softplus softshrink sort split split_with_sizes sqrt square squeeze stack std std_mean sub
subtract sum swapaxes swapdims sym_constrain_range sym_constrain_range_for_size sym_numel sym_size
sym_storage_offset sym_stride t tan tanh tensor_split tensordot threshold tile to topk trace transpose tril triu
true_divide trunc type_as unbind unflatten unfold unsafe_chunk unsafe_split unsqueeze upsample_bicubic2d
upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
upsample_trilinear3d var var_mean vdot view view_as view_as_complex view_as_real vstack where xlogy zero zeros
zeros_like
"""
ATEN = frozenset(_NAMES.split())
_PYTHON = "eq ne le ge lt gt neg pos mul add sub floordiv mod truediv and_ or_"
_OF_NUMBERS = frozenset(
    {"math.trunc"}
    | {f"_operator.{name}" for name in _PYTHON.split()}
    | {f"torch.sym_{name}" for name in ("not", "int", "float", "ite", "max", "min")}
)
_OVERLOAD = re.compile(r"torch\.ops\.aten\.([A-Za-z]\w*|_[a-z]\w*)\.(?!out$|\w*_out$)[A-Za-z]\w*", re.ASCII)


def is_allowed(target: str) -> bool:
    """Whether a program may call an operator, by the name that it has in an archive.

    An operator that ends in `_` writes into its first argument, a tensor of the program's own.

    >>> [is_allowed(f"torch.ops.aten.{name}") for name in ("relu.default", "relu_.default", "from_file.default", "add.out")]
    [True, True, False, False]
    """
    found = _OVERLOAD.fullmatch(target)
    if found is None:
        return target in _OF_NUMBERS
    return found[1] in ATEN or (found[1].endswith("_") and found[1][:-1] in ATEN)
