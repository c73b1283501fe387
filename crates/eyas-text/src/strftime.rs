//! Dates as C's `strftime` writes them, in English.

use std::fmt::Write as _;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];

/// A second as a calendar shows it.
struct Moment {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
    /// 1 to 366.
    day_of_year: i64,
    /// 0 is Sunday.
    weekday: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Moment {
    fn new(unix_seconds: i64) -> Self {
        let (days, second_of_day) = (unix_seconds.div_euclid(86_400), unix_seconds.rem_euclid(86_400));
        // Years are counted from March, so that the leap day comes last; 400 years have 146,097 days.
        let shifted = days + 719_468; // days since 0000-03-01
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let day_of_year = if month <= 2 { day_from_march - 305 } else { day_from_march + 60 + i64::from(is_leap) };
        Self {
            year,
            month,
            day: day_from_march - (153 * month_from_march + 2) / 5 + 1,
            day_of_year,
            weekday: (days + 4).rem_euclid(7),
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }
}

/// Writes a time by a pattern. A directive that is not known stays as it is.
pub(crate) fn format(pattern: &str, unix_seconds: i64) -> String {
    let moment = Moment::new(unix_seconds);
    let mut out = String::new();
    write(&mut out, pattern, &moment);
    out
}

fn write(out: &mut String, pattern: &str, moment: &Moment) {
    let day = DAYS.get(moment.weekday as usize).copied().unwrap_or_default();
    let month = MONTHS.get(moment.month as usize - 1).copied().unwrap_or_default();
    let hour_12 = (moment.hour + 11) % 12 + 1;
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let (unpadded, directive) = match chars.next() {
            Some('-') => (true, chars.next()),
            directive => (false, directive),
        };
        let number = match directive {
            Some('d') => Some((moment.day, 2)),
            Some('m') => Some((moment.month, 2)),
            Some('y') => Some((moment.year.rem_euclid(100), 2)),
            Some('H') => Some((moment.hour, 2)),
            Some('I') => Some((hour_12, 2)),
            Some('M') => Some((moment.minute, 2)),
            Some('S') => Some((moment.second, 2)),
            Some('j') => Some((moment.day_of_year, 3)),
            Some('w') => Some((moment.weekday, 1)),
            Some('Y') => Some((moment.year, 1)),
            _ => None,
        };
        if let Some((number, width)) = number {
            let width = if unpadded { 1 } else { width };
            let _ = write!(out, "{number:0width$}");
            continue;
        }
        match directive {
            Some('e') => {
                let _ = write!(out, "{:2}", moment.day);
            }
            Some('a') => out.push_str(&day[..3]),
            Some('A') => out.push_str(day),
            Some('b' | 'h') => out.push_str(&month[..3]),
            Some('B') => out.push_str(month),
            Some('p') => out.push_str(if moment.hour < 12 { "AM" } else { "PM" }),
            Some('F') => write(out, "%Y-%m-%d", moment),
            Some('T') => write(out, "%H:%M:%S", moment),
            None | Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days_come_out() {
        assert_eq!(format("%Y-%m-%d %H:%M:%S %A", 0), "1970-01-01 00:00:00 Thursday");
        assert_eq!(format("%d %b %Y, day %j", 951_782_400), "29 Feb 2000, day 060");
        assert_eq!(format("%-d. %B %y %a %I %p", 1_725_321_599), "2. September 24 Mon 11 PM");
        assert_eq!(format("%F %T", -1), "1969-12-31 23:59:59");
        assert_eq!(format("%j", 1_735_603_200), "366"); // 2024-12-31
        assert_eq!(format("100%% %Q %", 0), "100% %Q %");
    }
}
