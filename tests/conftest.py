"""What the tests of every package share."""

pytest_plugins = ["tests.support.door", "tests.support.postgres"]
