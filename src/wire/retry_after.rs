//! `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.

/// Seconds from `now`, which is in seconds since 1970; a date needs it, and one that is past is 0.
pub(crate) fn seconds(value: &str, now: Option<u64>) -> Option<u32> {
    let value = value.trim_matches([' ', '\t']);
    let seconds = match number(value) {
        Some(seconds) => seconds,
        None => date(value)?.saturating_sub(now?),
    };
    Some(seconds.try_into().unwrap_or(u32::MAX))
}

/// Digits and nothing else; a number that is too large is a large one.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Seconds since 1970 of a date in any of the three forms of RFC 9110, section 5.6.7.
fn date(text: &str) -> Option<u64> {
    let mut parts = [""; 7];
    let mut count = 0;
    for part in text.split([' ', ',', '-']).filter(|part| !part.is_empty()) {
        *parts.get_mut(count)? = part;
        count += 1;
    }
    // `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
    let [day, month, year, time] = match (count, parts) {
        (6, [_, day, month, year, time, "GMT", _]) => [day, month, year, time],
        (5, [_, month, day, time, year, ..]) => [day, month, year, time],
        _ => return None,
    };
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = MONTHS.iter().position(|name| *name == month)? as u64;
    let day = number(day).filter(|day| (1..=31).contains(day))?;
    let year = match (year.len(), number(year)?) {
        // Of two digits: up to 2069, so that no date from now on is past for want of a century.
        (2, year) => year + if year < 70 { 2000 } else { 1900 },
        (4, year @ 1970..) => year,
        _ => return None,
    };
    let mut time = time.split(':').map(|part| number(part).filter(|_| part.len() == 2));
    let [hour, minute, second] = [time.next()??, time.next()??, time.next()??];
    if time.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // The year begins in March, so that a leap day is its last.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    // 719,468 days lie between the first of March of year 0 and 1970.
    Some(((days.checked_sub(719_468)? * 24 + hour) * 60 + minute) * 60 + second)
}
