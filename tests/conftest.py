import os

# One thread: several on a busy machine are slower by far, and results stay the same to the bit.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from jaxtyping import install_import_hook

install_import_hook("losses", "beartype.beartype")
