"""What an application declares: functions, steps, checks, resources."""
