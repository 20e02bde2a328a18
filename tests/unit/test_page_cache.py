"""The cache of ready pages."""

from __future__ import annotations

import gzip

from pypicloud_lite.simple.cache import PageCache, Rendered, render


def test_a_page_is_made_once_per_serial() -> None:
    made: list[int] = []

    def make(serial: int) -> Rendered:
        made.append(serial)
        return render(str(serial).encode())

    cache = PageCache(1 << 20)
    for serial in (1, 1, 2, 2, 1):
        assert (
            cache.get("k", serial, lambda serial=serial: make(serial)).body == str(serial).encode()
        )
    assert made == [1, 2, 1]


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    made: list[int] = []
    cache = PageCache(10 * 2000)

    def get(number: int) -> None:
        cache.get(number, 1, lambda: made.append(number) or render(bytes([number]) * 400))

    for number in range(20):
        get(number)
    made.clear()
    get(19)
    assert made == []
    get(0)
    assert made == [0]
    assert sum(entry[1].cost for entry in cache._entries.values()) <= 10 * 2000


def test_a_page_larger_than_the_cache_is_served_all_the_same() -> None:
    cache = PageCache(100)
    assert cache.get("k", 1, lambda: render(b"x" * 5000)).body == b"x" * 5000
    assert not cache._entries


def test_equal_pages_have_equal_tags_and_compress_to_equal_bytes() -> None:
    first, second = render(b"x" * 5000), render(b"x" * 5000)
    assert first == second
    assert first.gzip_body is not None
    assert gzip.decompress(first.gzip_body) == first.body
    assert render(b"y" * 5000).etag != first.etag
    assert render(b"small").gzip_body is None
