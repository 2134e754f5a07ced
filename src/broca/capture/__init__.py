"""Looking: activations streamed into reducers."""

from broca.capture.activations import capture
from broca.capture.reduce import Covariance, Extremes, Gather, Moments, Reducer

__all__ = ["Covariance", "Extremes", "Gather", "Moments", "Reducer", "capture"]
