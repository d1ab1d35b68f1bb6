//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.

use alloc::vec::Vec;

/// The delay in seconds; `now` (Unix time) is needed for a date, and a date that is past gives 0.
pub(crate) fn seconds(value: &str, now: Option<u64>) -> Option<u32> {
    let value = value.trim_matches([' ', '\t']);
    let seconds = number(value).or_else(|| Some(date(value)?.saturating_sub(now?)))?;
    Some(seconds.try_into().unwrap_or(u32::MAX))
}

/// Digits and nothing else; what overflows becomes `u64::MAX`.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Seconds since 1970 of a date such as `Sun, 06 Nov 1994 08:49:37 GMT` (IMF-fixdate, RFC 9110, section 5.6.7).
fn date(text: &str) -> Option<u64> {
    const MONTHS: &str = "Mar Apr May Jun Jul Aug Sep Oct Nov Dec Jan Feb";
    let parts: Vec<_> = text.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = parts[..] else { return None };
    let two_digits = |text: &str, max| number(text).filter(|&number| text.len() == 2 && number <= max);
    let month = MONTHS.split(' ').position(|name| name == month)? as u64;
    let day = two_digits(day, 31)?.checked_sub(1)?;
    let year = number(year).filter(|_| year.len() == 4)?;
    let (hour, minute, second) = (two_digits(hour, 23)?, two_digits(minute, 59)?, two_digits(second, 60)?);
    // The year begins in March, so that a leap day is its last.
    let year = if month < 10 { year } else { year.checked_sub(1)? };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    // 719,468 days lie between the first of March of year 0 and 1970.
    Some(((days.checked_sub(719_468)? * 24 + hour) * 60 + minute) * 60 + second)
}
