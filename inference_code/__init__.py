"""Image 2: serve, and what all images share (`contract`).

OpenVINO's converter reports every use to Google Analytics, from a process that it forks, unless its telemetry package is missing:
here it is. Nothing of Darkroom calls out, and a forked process may hang for ever.
https://github.com/openvinotoolkit/telemetry
"""

import sys

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
