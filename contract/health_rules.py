"""The names of the health rules, once: what `stop_on` may name, and what `health` evaluates (training_code/health).

They are those of SageMaker Debugger's built-in rules where it has one
(https://docs.aws.amazon.com/sagemaker/latest/dg/debugger-built-in-rules.html).
"""

RULE_NAMES = (
    "LossNotDecreasing", "VanishingGradient", "ExplodingTensor", "Overfit", "Overtraining", "PoorWeightInitialization",
    "DeadRelu", "SaturatedActivation", "ClassImbalance", "LowGPUUtilization", "LowCPUUtilization", "CPUBottleneck",
    "IOBottleneck", "BatchSize", "LoadBalancing", "StepOutlier", "MaxInitializationTime", "LongEvaluation",
)  # fmt: skip
