"""The scenarios that have names. Each is a file as a user would write it; see `zpager.lab.scenario`."""
