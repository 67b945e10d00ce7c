"""The middle floor: makes every kind of plugin look the same.

It knows a module's report, Extism, sockets and host functions; it never knows ``compat``. One file per kind
(``legacy.py``, ``generic.py``), the contract they fulfil (``contract.py``), the guest they run (``runtime/``) and the
network they use (``net/``).
"""
