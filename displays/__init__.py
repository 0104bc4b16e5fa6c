"""
Hall screens: the feed of a centre's events, encoded once and pushed to every board, console and integrator that
watches it.
"""
