"""Where things lie that tests use."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
# The CDK CLI is an npm package: it is installed at the top of the repository.
CDK = Path(__file__).parents[3] / "node_modules/.bin/cdk"
