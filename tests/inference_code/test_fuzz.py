"""The short form of `make fuzz-decode`, whose last table is in docs/serving.md."""

import re
from pathlib import Path

from tests.inference_code.fuzz.__main__ import run
from tests.inference_code.fuzz.cases import Cases

ROOT = Path(__file__).parents[2]


def test_no_mutated_photo_does_anything_but_decode_or_be_refused():
    table = run(seed=0, total=1500)
    assert table.bad == []
    assert sum(counts.total() for counts in table.counts.values()) == 1500
    for kind, counts in table.counts.items():
        assert counts["decoded"] > 0 and counts["corrupt"] > 0, kind


def test_a_case_is_the_same_bytes_every_time():
    assert [Cases(7).case(number) for number in range(50)] == [Cases(7).case(number) for number in range(50)]


def test_the_documented_run_had_a_hundred_thousand_cases():
    text = (ROOT / "docs" / "serving.md").read_text()
    assert "| not allowed |" in text
    (cases,) = re.findall(r"([\d,]+) cases of seed \d+", text)
    assert int(cases.replace(",", "")) >= 100_000
