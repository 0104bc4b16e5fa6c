"""
Measures from the planned press to the frame at the screen, and proves afterwards that nobody was lost or called twice.
"""
