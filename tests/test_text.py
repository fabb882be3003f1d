"""Text files as editors write them."""

from __future__ import annotations

import codecs

import pytest

from lipwire.text import decode_text


def test_every_mark_is_read_and_left_out() -> None:
    text = "Grüße, 你好\r\n"
    big = codecs.BOM_UTF16_BE + text.encode("utf-16-be")
    for data in (text.encode(), text.encode("utf-8-sig"), codecs.BOM_UTF16_LE + text.encode("utf-16-le"), big):
        assert decode_text(data) == text
    assert decode_text(b"") == ""
    for broken in (b"Gr\xfc\xdfe", big[:-1]):
        with pytest.raises(UnicodeDecodeError):
            decode_text(broken)
