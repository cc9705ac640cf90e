//! "Did you mean": the known word nearest to what was written, and how foreign text is shown.

/// Characters of the file that an error shows.
const SHOWN_CHARS_MAX: usize = 40;

/// The known word nearest to `written`, if one is near enough to be a slip of the pen.
pub(crate) fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    // Text far longer than any known word is no slip, and comparing it would only cost time.
    if written.is_empty() || written.len() > 64 {
        return None;
    }
    let folded = written.to_lowercase().replace(['-', ' '], "_");
    known
        .iter()
        .filter_map(|word| {
            let distance = distance(&folded, word);
            let near = distance <= (word.len().max(folded.len()) / 3).min(3);
            // A word cut short, as `ttl` for `ttl_days`.
            let part = folded.len() >= 3 && (word.starts_with(&folded) || folded.starts_with(word));
            (near || part).then_some((distance, *word))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// Edits that turn `left` into `right`: insertions, deletions, replacements and swaps of neighbours.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let cell = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in right.iter().enumerate() {
            let replaced = cell(&last, j) + usize::from(from != to);
            let mut best = replaced.min(cell(&last, j + 1) + 1).min(cell(&row, j) + 1);
            let swapped =
                i > 0 && j > 0 && left.get(i - 1) == Some(to) && right.get(j - 1) == Some(from);
            if swapped {
                best = best.min(cell(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    cell(&last, right.len())
}

/// Text of the file for an error message: in backticks, cut to a bearable length, without control
/// characters, and without what follows `plain:`, which is a secret in the wrong place.
pub(crate) fn quote(text: &str) -> String {
    let (text, secret) = match text.split_once("plain:") {
        Some((before, _)) => (before, "plain:***"),
        None => (text, ""),
    };
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .flat_map(|c| {
            let replaced = if c.is_control() { '\u{fffd}' } else { c };
            std::iter::once(replaced)
        })
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("`{shown}{secret}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, expected: Option<&str>) {
        let known = ["id", "name", "ttl_days", "max_users", "max_linger", "rule"];
        assert_eq!(nearest(written, &known), expected, "{written}");
    }

    #[test]
    fn finds_slips_and_nothing_far_off() {
        check("nmae", Some("name"));
        check("ttl", Some("ttl_days"));
        check("max-users", Some("max_users"));
        check("Max_Linger", Some("max_linger"));
        check("rules", Some("rule"));
        check("colour", None);
        check("", None);
        check("x", None);
        check(&"name".repeat(100), None);
    }

    #[test]
    fn shows_foreign_text_safely() {
        assert_eq!(quote("a\nb"), "`a\u{fffd}b`");
        assert_eq!(quote("x plain:hush"), "`x plain:***`");
        assert_eq!(quote(&"é".repeat(50)), format!("`{}…`", "é".repeat(40)));
    }
}
