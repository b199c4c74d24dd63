"""What the strings and functions of older torchao are called today."""

__all__ = ["REPLACED"]

_CLASSES = {
    "Int8WeightOnlyConfig": ("int8wo", "int8_weight_only"),
    "Int8DynamicActivationInt8WeightConfig": ("int8dq", "int8_dynamic_activation_int8_weight"),
    "Int4WeightOnlyConfig": ("int4wo", "int4_weight_only"),
    "Float8WeightOnlyConfig": ("float8wo", "float8_weight_only", "float8wo_e4m3", "fp8wo"),
    "Float8DynamicActivationFloat8WeightConfig": (
        "float8dq", "float8_dynamic_activation_float8_weight", "float8dq_e4m3", "fp8dq",
        "float8dq_e4m3_row", "float8dq_e4m3_tensor",
    ),
    "Float8DynamicActivationInt4WeightConfig": ("float8_dynamic_activation_int4_weight",),
    "IntxWeightOnlyConfig": ("intx_weight_only",),
}  # fmt: skip
REPLACED = {name: cls for cls, names in _CLASSES.items() for name in names}
