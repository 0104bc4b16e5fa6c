"""
The HTTP door of the service: parse, dispatch, answer.

Declares every operation of ``/api/v1`` (contract.py checks requests and writes OpenAPI from the declarations).  Holds
no rule of the queue: presses go to dispatch, reading goes to the store, and streams are somebody else's, handed in as
``Streams``.
"""
