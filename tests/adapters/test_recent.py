"""The latest few of what is known of modules."""

from __future__ import annotations

import threading

from adapters.recent import Recent


def test_the_latest_are_kept_and_to_be_asked_for_counts() -> None:
    memory = Recent[int](2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.get("a") == 1
    memory.put("c", 1)
    assert [memory.get(sha256) for sha256 in "abc"] == [1, None, 1]


def test_several_threads_may_use_it() -> None:
    memory, failures = Recent[int](8), list[BaseException]()

    def work(seed: int) -> None:
        try:
            for n in range(2_000):
                memory.put(str((n * seed) % 32), 2)
                assert memory.get(str(n % 32)) in (2, None)
        except BaseException as error:  # noqa: BLE001 - told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 3, 5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(memory._kept) == 8
