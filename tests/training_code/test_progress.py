"""Long steps say how far they are, how fast, and how long they still take, and not more often than one can read."""

from training_code.progress import Progress, duration


def told(moments, total=1000):
    now, lines = [0.0], []
    progress = Progress("features", total, lambda: now[0], lines.append)
    for moment, done in moments:
        now[0] = moment
        progress.reached(done)
    return lines


def test_a_line_has_count_rate_and_time_left():
    assert told([(10, 100)]) == ["features: 100 of 1,000 (10%), 10 a second, 90 s left".replace("90 s", "2 min")]
    assert told([(100, 10)]) == ["features: 10 of 1,000 (1%), 6 a minute, 2 h 45 min left"]


def test_lines_are_seconds_apart_and_none_follows_the_end():
    assert len(told([(n / 10, n) for n in range(1, 500)])) == 9
    assert told([(60, 1000)]) == []
    assert told([(60, 0)]) == ["features: 0 of 1,000 (0%), 0 a minute, no end in sight"]


def test_a_photo_counts_as_often_as_it_is_wanted():
    now, lines = [0.0], []
    make = Progress("features", 10, lambda: now[0], lines.append).counted(str, [4, 4, 5])
    now[0] = 8.0
    assert make(4) == "4" and lines == ["features: 2 of 10 (20%), 15 a minute, 32 s left"]


def test_times_are_said_as_people_say_them():
    assert [duration(s) for s in (4, 89, 200, 3600 * 2 + 60)] == ["4 s", "89 s", "3 min", "2 h 1 min"]
