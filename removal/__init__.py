"""What a removal is: the request, its life, its steps, and who may never be its target.

Pure: this package imports the standard library only. It does no I/O and reads no clock.
"""
