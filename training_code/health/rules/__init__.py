"""The rules, by what they look at, and the list of them all: a new one is a function in a module here and a line in RULES."""

from training_code.health.rule import Rule
from training_code.health.rules import data, loss, machine, tensors, time

RULES: tuple[Rule, ...] = (
    loss.loss_not_decreasing,
    tensors.vanishing_gradient,
    tensors.exploding_tensor,
    loss.overfit,
    loss.overtraining,
    tensors.poor_weight_initialization,
    tensors.dead_relu,
    tensors.saturated_activation,
    data.class_imbalance,
    machine.low_gpu_utilization,
    machine.low_cpu_utilization,
    machine.cpu_bottleneck,
    machine.io_bottleneck,
    machine.batch_size,
    machine.load_balancing,
    time.step_outlier,
    time.max_initialization_time,
    time.long_evaluation,
)
