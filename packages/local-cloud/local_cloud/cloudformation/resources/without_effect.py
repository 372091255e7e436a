"""Types that a template may hold although nothing here answers them, each with the reason why leaving them out is honest.

Any other type that this cloud does not know is an error: a stack must not be reported complete while a part of it is
missing.
"""

WITHOUT_EFFECT = {
    "AWS::CDK::Metadata": "tells AWS which constructs were used; it makes nothing",
    "AWS::CloudFormation::WaitConditionHandle": "is a URL that nobody calls unless a WaitCondition (refused) waits for it",
    "AWS::ApplicationAutoScaling::ScalableTarget": "a local endpoint has as many processes as the machine can use",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "a local endpoint has as many processes as the machine can use",
    "AWS::Budgets::Budget": "nothing costs anything here",
}
# Why the types that people meet most are refused.
REFUSED = {
    "AWS::Lambda::LayerVersion": "layers are not offered; put their files into the function's package",
    "AWS::CloudFormation::Stack": "nested stacks are not supported; use stacks of their own",
    "AWS::CloudFormation::WaitCondition": "nothing here sends signals",
}


def refusal(kind: str) -> str:
    """Why a type is refused."""
    return REFUSED.get(kind, "the local cloud does not know this type")
