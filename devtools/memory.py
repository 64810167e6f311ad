"""How processes that compute on processors should treat memory."""

KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "MALLOC_TOP_PAD_": str(200 << 20),
}
"""Environment variables that let glibc keep large blocks: else it gives each back at once and gets it page by page
again, which costs more than the arithmetic (with them and batches of 8 instead of 64, the mannequin model's autoencoder
went from 14 to 53 pictures a second). Other systems ignore them."""
