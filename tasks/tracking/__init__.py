"""What MLflow remembers: runs of stages and of pipelines, and registered encoders."""

from tasks.tracking.registry import load_encoder

__all__ = ["load_encoder"]
