"""The one error that every part of the local cloud raises for a request that AWS would refuse."""


class AwsError(Exception):
    """An AWS API error: `code` as AWS names it, `message` for a person, `status` the HTTP status."""

    # Set when the log says more under this id.
    request_id = ""

    def __init__(self, code: str, message: str, status: int = 400):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
