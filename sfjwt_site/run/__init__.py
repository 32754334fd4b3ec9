"""`make run`: the whole site on one machine, by one command.

`bootstrap` makes the virtual environment (with the system's Python, so without any package), `prepare` is the
part that needs Django, `processes` starts and stops, `__main__` is the order of events.
"""
