"""HTTP to upstreams, for modules that make many requests: a library that knows no protocol above.

No module and no part of the core: it decides nothing, and knows only the contract's error tree.
"""
