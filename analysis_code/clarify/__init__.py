"""SageMaker Clarify's job contract, fulfilled by this image: bias metrics, and region attributions of photos."""
