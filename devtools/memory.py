"""How processes that compute on processors should treat memory."""

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(200 << 20),
}
"""Environment variables that let glibc keep large blocks: else it gives each back at once and gets it page by page
again, which costs more than the arithmetic (the mannequin model's autoencoder decodes four times as fast with them).
Other systems ignore them."""
