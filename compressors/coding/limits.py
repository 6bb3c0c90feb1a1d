"""Numbers that codes, their tables and the compiled streams agree on."""

LOOK_UP_BITS = 12
"""The decoder looks up so many bits at once; longer codewords take it several times as long."""
MAX_LENGTH = 15
"""Bits of Huffman's longest codeword: its length is sent in four bits."""
