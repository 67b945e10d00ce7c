# What a type checker sees of compat: all that is public. When it is imported is of no interest to it.

from compat.public import *  # noqa: F403 - the list is there
from compat.public import __all__ as __all__
