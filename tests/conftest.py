"""What the tests of every package share."""

import signal

pytest_plugins = [
    "tests.support.door",
    "tests.support.plain",
    "tests.support.postgres",
    "tests.support.ray_cluster",
]

# A shell that starts the tests in the background has them ignore interrupts, and every process
# that they start as well; the tests of Ctrl-C need the usual way.
signal.signal(signal.SIGINT, signal.default_int_handler)
