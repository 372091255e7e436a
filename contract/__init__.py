"""What two processes must agree on: infra, the images and the command line import it, and it imports nothing of ours.

How a photo becomes a tensor, what a model artifact says about itself, names, execution input, hyperparameters, plan. This
page imports nothing, so that a command line without OpenCV can read a name; no module is heavier than NumPy, Pillow and OpenCV,
and none unpickles.

OpenVINO's converter reports every use to Google Analytics, from a process that it forks, unless its telemetry package is missing:
here it is. Nothing of Darkroom calls out, and a forked process may hang for ever.
https://github.com/openvinotoolkit/telemetry
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
