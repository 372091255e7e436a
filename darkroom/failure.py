"""The one error of the command line: a sentence for a person, without a traceback."""


class DarkroomError(Exception):
    """What was wrong, with the value received, and what to do next."""

    def __init__(self, message: str, advice: str = ""):
        super().__init__(message)
        self.advice = advice
