//! Dates in HTTP headers (RFC 9110, section 5.6.7; the preferred form only: nobody sends the obsolete ones).

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds of the Unix epoch of a date like `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn unix_seconds(text: &str) -> Option<i64> {
    let mut parts = text.split_once(", ")?.1.strip_suffix(" GMT")?.split(' ');
    let day: i64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
    let year: i64 = parts.next()?.parse().ok().filter(|year| (1..=9999).contains(year))?;
    let mut time = parts.next()?.split(':').map(|part| part.parse::<i64>().ok().filter(|part| (0..=60).contains(part)));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if parts.next().is_some() || time.next().is_some() {
        return None;
    }
    // Days from a calendar date: years begin in March, so that the leap day is the last one.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + (153 * m + 2) / 5 + day - 719_469;
    Some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::unix_seconds;

    #[test]
    fn damaged_dates_are_none_or_lie_in_the_calendar() {
        let (mut random, mut read) = (crate::damage::Random(32), 0);
        for _ in 0..crate::damage::runs(50_000) {
            let text = crate::damage::damaged_text("Sun, 06 Nov 1994 08:49:37 GMT", &mut random);
            let Some(seconds) = unix_seconds(&text) else { continue };
            assert!((-62_200_000_000..253_500_000_000).contains(&seconds), "{text:?}: {seconds}");
            read += 1;
        }
        assert!(read > 1_000, "{read}");
    }

    #[test]
    fn known_dates() {
        assert_eq!(unix_seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(unix_seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(unix_seconds("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(unix_seconds("Mon, 01 Mar 2100 00:00:00 GMT"), Some(4_107_542_400));
    }

    #[test]
    fn anything_else_is_none() {
        for bad in [
            "",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "06 Nov",
            "x, y z a b GMT",
        ] {
            assert_eq!(unix_seconds(bad), None, "{bad}");
        }
    }
}
