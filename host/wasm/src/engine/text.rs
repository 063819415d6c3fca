//! Text from plugins, made fit for people's terminals and logs.

/// Stands for what was cut off.
const ELLIPSIS: char = '…';

/// One line of at most `bytes_max` bytes: control characters become spaces, and so do marks
/// that turn text around, so that nothing shows as what it is not.
pub(crate) fn line(text: &str, bytes_max: usize) -> String {
    let text = text.trim_end();
    let shown = |c: char| if c.is_control() || is_deceptive(c) { ' ' } else { c };
    if text.len() <= bytes_max {
        return text.chars().map(shown).collect();
    }
    let kept = cut(text, bytes_max.saturating_sub(ELLIPSIS.len_utf8()));
    kept.chars().map(shown).chain([ELLIPSIS]).collect()
}

/// As much of the beginning as fits, at a boundary of characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Separators of lines and paragraphs, and marks that change the direction of text.
fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_one_line_that_a_terminal_shows_as_it_is() {
        let cases = [
            ("ready", 8, "ready"),
            ("two\nlines\r\n", 20, "two lines"),
            ("\u{1b}[31mred\u{1b}[0m", 20, " [31mred [0m"),
            ("a\u{202e}b", 8, "a b"),
            ("12345678", 8, "12345678"),
            ("123456789", 8, "12345…"),
            ("1234äöüß", 8, "1234…"),
            ("äöüß", 0, "…"),
        ];
        for (text, bytes_max, expected) in cases {
            assert_eq!(line(text, bytes_max), expected, "{text:?} in {bytes_max}");
        }
    }
}
