"""The layer classes common to Keras 2.15 and Keras 3, each with the settings that both constructors accept. Found in the
constructors of Keras 2.15.0 and 3.15.1, and tested by benchmarks/interop/keras_random.py. A class that is not in BOTH can be
displayed, but not written for both.
"""
ANY = object()

_KERNEL = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")
_BIAS = ("activation", "use_bias", "bias_initializer", "bias_regularizer", "bias_constraint", "activity_regularizer")
_WINDOW = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")
_DEPTHWISE = ("depth_multiplier", "depthwise_initializer", "depthwise_regularizer", "depthwise_constraint")
_POINTWISE = ("pointwise_initializer", "pointwise_regularizer", "pointwise_constraint")
_POOL = ("pool_size", "strides", "padding", "data_format")
_CONV = ("filters", *_WINDOW, "groups", *_BIAS, *_KERNEL)
_TRANSPOSE = ("filters", *_WINDOW, "output_padding", *_BIAS, *_KERNEL)
_SCALED = ("epsilon", "center", "scale", *(f"{p}_{what}" for p in ("beta", "gamma")
                                            for what in ("initializer", "regularizer", "constraint")))
_CELL = ("units", *_BIAS[:5], *_KERNEL, "recurrent_initializer", "recurrent_regularizer", "recurrent_constraint", "dropout",
         "recurrent_dropout")
_RUN = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll", "activity_regularizer")
_IMAGES = ("fill_mode", "fill_value", "interpolation", "seed")
_RNN = ("recurrent_activation", *_CELL, *_RUN)

BOTH = {
    "Activation": ("activation",), "ActivityRegularization": ("l1", "l2"), "Add": (), "AlphaDropout": ("rate", "seed"),
    "Average": (), "BatchNormalization": ("axis", "momentum", *_SCALED, "moving_mean_initializer", "moving_variance_initializer"),
    "Bidirectional": ("layer", "backward_layer", "merge_mode"), "Concatenate": ("axis",),
    "CenterCrop": ("height", "width"), "Cropping1D": ("cropping",), "Cropping2D": ("cropping", "data_format"),
    "Cropping3D": ("cropping", "data_format"),
    "Dense": ("units", *_BIAS, *_KERNEL), "DepthwiseConv1D": (*_WINDOW, *_DEPTHWISE, *_BIAS),
    "DepthwiseConv2D": (*_WINDOW, *_DEPTHWISE, *_BIAS), "Dot": ("axes", "normalize"), "Dropout": ("rate", "noise_shape", "seed"),
    "ELU": ("alpha",),
    "Embedding": ("input_dim", "output_dim", "embeddings_initializer", "embeddings_regularizer", "embeddings_constraint",
                  "mask_zero"),
    "Flatten": ("data_format",), "GRU": (*_RNN, "reset_after"), "GRUCell": ("recurrent_activation", *_CELL, "reset_after"),
    "GaussianDropout": ("rate", "seed"), "GaussianNoise": ("stddev", "seed"), "GroupNormalization": ("groups", "axis", *_SCALED),
    "Identity": (), "InputLayer": ("batch_input_shape", "sparse", "ragged"), "LSTM": (*_RNN, "unit_forget_bias"),
    "LSTMCell": ("recurrent_activation", *_CELL, "unit_forget_bias"), "LayerNormalization": ("axis", *_SCALED),
    "LeakyReLU": ("alpha",), "Maximum": (), "Minimum": (), "Multiply": (),
    "Masking": ("mask_value",), "Normalization": ("axis", "mean", "variance", "invert"),
    "PReLU": ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes"), "Permute": ("dims",),
    "RNN": ("cell", *_RUN), "RandomBrightness": ("factor", "value_range", "seed"), "RandomContrast": ("factor", "seed"),
    "RandomFlip": ("mode", "seed"), "RandomRotation": ("factor", *_IMAGES),
    "RandomTranslation": ("height_factor", "width_factor", *_IMAGES), "RandomZoom": ("height_factor", "width_factor", *_IMAGES),
    "ReLU": ("max_value", "negative_slope", "threshold"), "RepeatVector": ("n",), "Rescaling": ("scale", "offset"),
    "Resizing": ("height", "width", "interpolation", "crop_to_aspect_ratio"),
    "Reshape": ("target_shape",), "SeparableConv1D": ("filters", *_WINDOW, *_DEPTHWISE, *_POINTWISE, *_BIAS),
    "SeparableConv2D": ("filters", *_WINDOW, *_DEPTHWISE, *_POINTWISE, *_BIAS), "SimpleRNN": (*_CELL, *_RUN),
    "SimpleRNNCell": _CELL, "Softmax": ("axis",), "StackedRNNCells": ("cells",), "Subtract": (), "TimeDistributed": ("layer",),
    # Keras 3's take neither trainable nor noise_shape, and data_format is no setting of Keras 2's files.
    "SpatialDropout1D": ("rate",), "SpatialDropout2D": ("rate",), "SpatialDropout3D": ("rate",),
    "UnitNormalization": ("axis",), "UpSampling1D": ("size",), "UpSampling2D": ("size", "data_format", "interpolation"),
    "UpSampling3D": ("size", "data_format"), "ZeroPadding1D": ("padding",), "ZeroPadding2D": ("padding", "data_format"),
    "ZeroPadding3D": ("padding", "data_format"),
    **{f"{kind}Pooling{n}D": _POOL for kind in ("Average", "Max") for n in (1, 2, 3)},
    **{f"Global{kind}Pooling{n}D": ("data_format", "keepdims") for kind in ("Average", "Max") for n in (1, 2, 3)},
    **{f"Conv{n}D": _CONV for n in (1, 2, 3)}, **{f"Conv{n}DTranspose": _TRANSPOSE for n in (1, 2, 3)},
}
NOT_TRAINABLE = ("InputLayer", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D")      # take no `trainable` in Keras 3
# At inference these give what they got; all but those of BOTH are known to one version only.
RANDOM_IMAGES = ("RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom")
RANDOM_IN_ONE = {"RandomHeight": 2, "RandomWidth": 2, **dict.fromkeys((
    "AugMix", "CutMix", "MixUp", "RandAugment", "RandomColorDegeneration", "RandomColorJitter", "RandomElasticTransform",
    "RandomErasing", "RandomGaussianBlur", "RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective",
    "RandomPosterization", "RandomSaturation", "RandomSharpness", "RandomShear"), 3)}
OLD_NAMES = {"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
             "SyncBatchNormalization": "BatchNormalization", "ThresholdedReLU": "ReLU"}

# Settings that one version alone takes, and the values with which they change no answer.
HARMLESS = {
    "activity_regularizer": ANY, "adjustment": (None,), "antialias": (False,), "autocast": ANY, "batch_input_shape": ANY,
    "batch_shape": ANY, "bounding_box_format": ANY, "build_input_shape": ANY, "channel_axis": (-1,), "data_format": ("channels_last",),
    "dynamic": (False,), "fill_mode": ANY, "fill_value": ANY, "force_generator": ANY, "fused": ANY,
    "gptq_unpacked_column_size": (None,), "groups": (1,),
    "implementation": ANY, "input_dtype": ANY, "input_length": ANY, "kernel_constraint": ANY, "kernel_initializer": ANY,
    "kernel_regularizer": ANY, "lora_alpha": ANY, "lora_rank": (None,), "noise_shape": (None,), "optional": ANY,
    "pad_to_aspect_ratio": (False,),
    "quantization_config": (None,), "registered_name": (None,), "renorm": (False,), "renorm_clipping": ANY,
    "renorm_momentum": ANY, "rms_scaling": (False,), "rng_type": ANY, "seed": ANY, "sparse": (False,), "supports_masking": ANY,
    "synchronized": ANY, "time_major": (False,), "trainable": ANY, "unroll": ANY, "use_cudnn": ANY, "value_range": ANY,
    "virtual_batch_size": (None,), "weights": (None,), "zero_output_for_mask": (False,), "shared_object_id": ANY,
}
# Such settings whose leaving out says nothing to the owner of a file.
UNSAID = {*HARMLESS} - {"activity_regularizer", "kernel_constraint", "kernel_regularizer", "value_range"}

INITIALIZERS = {
    "Zeros": (), "Ones": (), "Constant": ("value",), "Identity": ("gain",), "Orthogonal": ("gain", "seed"),
    "RandomNormal": ("mean", "stddev", "seed"), "RandomUniform": ("minval", "maxval", "seed"),
    "TruncatedNormal": ("mean", "stddev", "seed"), "VarianceScaling": ("scale", "mode", "distribution", "seed"),
    **{f"{who}{how}": ("seed",) for who in ("Glorot", "He", "Lecun") for how in ("Normal", "Uniform")},
}
REGULARIZERS = ("L1", "L2", "L1L2", "OrthogonalRegularizer")
CONSTRAINTS = ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")
