//! `|H`: ANSI colours as HTML.

/// `text` with its special characters escaped and its colour sequences turned into spans.
pub fn from_ansi(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + text.len() / 4);
    let mut open = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(sequence) = rest.strip_prefix("\x1b[") {
            let end = sequence.find(|c: char| ('@'..='~').contains(&c)).unwrap_or(sequence.len());
            let style = if sequence[end..].starts_with('m') { style(&sequence[..end]) } else { None };
            if let Some(style) = style {
                if std::mem::take(&mut open) {
                    html.push_str("</span>");
                }
                if !style.is_empty() {
                    html.push_str(&format!("<span style=\"{style}\">"));
                    open = true;
                }
            }
            rest = sequence.get(end + 1..).unwrap_or("");
            continue;
        }
        match c {
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '&' => html.push_str("&amp;"),
            '"' => html.push_str("&quot;"),
            '\n' => html.push_str("<br />\n"),
            ' ' => html.push_str("&nbsp;"),
            c => html.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    if open {
        html.push_str("</span>");
    }
    html
}

/// The style of a colour sequence's numbers; empty for "back to normal", `None` when nothing is known about them.
fn style(numbers: &str) -> Option<String> {
    const COLORS: [&str; 8] = ["black", "red", "green", "gold", "blue", "magenta", "teal", "gray"];
    let mut style = Vec::new();
    let mut numbers = numbers.split(';').map(|number| if number.is_empty() { Some(0) } else { number.parse().ok() });
    while let Some(number) = numbers.next() {
        match number? {
            0 => style.clear(),
            1 => style.push("font-weight:bold".to_string()),
            4 => style.push("text-decoration:underline".to_string()),
            n @ (30..=37 | 90..=97) => style.push(format!("color:{}", COLORS[n % 10])),
            n @ (40..=47 | 100..=107) => style.push(format!("background-color:{}", COLORS[n % 10])),
            n @ (38 | 48) if numbers.next()?? == 2 => {
                let [red, green, blue] = [numbers.next()??, numbers.next()??, numbers.next()??];
                let what = if n == 38 { "color" } else { "background-color" };
                style.push(format!("{what}:rgb({red},{green},{blue})"));
            }
            _ => return None,
        }
    }
    Some(style.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_spans() {
        assert_eq!(from_ansi("a<b\n"), "a&lt;b<br />\n");
        assert_eq!(from_ansi("\x1b[32mo\x1b[0mk"), "<span style=\"color:green\">o</span>k");
        assert_eq!(from_ansi("\x1b[1;31mx"), "<span style=\"font-weight:bold;color:red\">x</span>");
        assert_eq!(from_ansi("\x1b[38;2;1;2;3mx\x1b["), "<span style=\"color:rgb(1,2,3)\">x</span>");
        assert_eq!(from_ansi("\x1b[2Jx\x1b[38;5m"), "x");
    }
}
