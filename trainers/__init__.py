"""The trainers: one program each, `python -m trainers.NAME`."""
