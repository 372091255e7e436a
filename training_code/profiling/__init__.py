"""Where the time of a training goes: steps and phases, the machine's load, and the page that explains both."""
