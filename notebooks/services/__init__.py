"""The course's local services: what a notebook talks to where there is no account or no network."""
