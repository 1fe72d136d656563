//! Cue text with markup that is always nested and closed, in whatever order it was requested.

/// Markup that all formats support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `<i>`.
    Italic,
    /// `<b>`.
    Bold,
    /// `<u>`.
    Underline,
}

const STYLES: [Style; 3] = [Style::Italic, Style::Bold, Style::Underline];

impl Style {
    fn tag(self) -> char {
        match self {
            Self::Italic => 'i',
            Self::Bold => 'b',
            Self::Underline => 'u',
        }
    }
}

/// A cue text (WebVTT §3.2) being built: its tags are nested, closed and never empty, and characters of
/// markup are escaped.
#[derive(Debug, Default)]
pub struct Markup {
    out: String,
    wanted: Vec<Style>,
    /// The open styles with a tag; the last one is the innermost.
    open: Vec<Style>,
    /// Whether there is visible text.
    visible: bool,
}

impl Markup {
    /// Switches this style on or off from here on.
    pub fn set(&mut self, style: Style, on: bool) {
        if on {
            if !self.wanted.contains(&style) {
                self.wanted.push(style);
            }
            return;
        }
        self.wanted.retain(|wanted| *wanted != style);
        while self.open.contains(&style) {
            self.close();
        }
    }

    /// Switches all styles off from here on.
    pub fn plain(&mut self) {
        STYLES.into_iter().for_each(|style| self.set(style, false));
    }

    /// A character of the text. Control characters are left out.
    pub fn push(&mut self, c: char) {
        match c {
            '\n' => self.out.push('\n'),
            '\t' => self.out.push(' '),
            '&' => self.reference("&amp;"),
            '<' => self.reference("&lt;"),
            '>' => self.reference("&gt;"),
            _ if c.is_control() => {}
            // Tags open at the first visible character, so that none is empty.
            _ if c.is_whitespace() => self.out.push(c),
            _ => {
                self.begin();
                self.out.push(c);
            }
        }
    }

    /// A character reference, as it is.
    pub fn reference(&mut self, reference: &str) {
        self.begin();
        self.out.push_str(reference);
    }

    fn begin(&mut self) {
        self.visible = true;
        for style in &self.wanted {
            if !self.open.contains(style) {
                self.out.extend(['<', style.tag(), '>']);
                self.open.push(*style);
            }
        }
    }

    /// Closes the innermost tag, before white space: lines never begin with a closing tag.
    fn close(&mut self) {
        let Some(style) = self.open.pop() else { return };
        let end = self.out.trim_end().len();
        let space = self.out.split_off(end);
        self.out.extend(['<', '/', style.tag(), '>']);
        self.out.push_str(&space);
    }

    /// The text without empty lines; `None` if there is nothing else.
    pub fn finish(mut self) -> Option<String> {
        while !self.open.is_empty() {
            self.close();
        }
        self.visible.then(|| lines(&self.out))
    }
}

/// The lines of a text, trimmed and without empty ones, which would end a cue.
fn lines(text: &str) -> String {
    let lines: Vec<&str> = text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_that_end_in_another_order_than_they_began_are_nested_all_the_same() {
        let mut markup = Markup::default();
        markup.set(Style::Italic, true);
        markup.push('a');
        markup.set(Style::Bold, true);
        markup.push('b');
        markup.set(Style::Italic, false);
        markup.push('\n');
        markup.push('c');
        assert_eq!(markup.finish().unwrap(), "<i>a<b>b</b></i>\n<b>c</b>");
    }

    #[test]
    fn what_has_nothing_to_see_in_it_has_no_tags_and_is_no_text() {
        let mut markup = Markup::default();
        markup.set(Style::Italic, true);
        markup.push(' ');
        markup.set(Style::Italic, false);
        markup.push('\u{a0}');
        assert_eq!(markup.finish(), None);
    }

    #[test]
    fn what_means_markup_is_escaped() {
        let mut markup = Markup::default();
        "a <3 --> & \u{0}b".chars().for_each(|c| markup.push(c));
        assert_eq!(markup.finish().unwrap(), "a &lt;3 --&gt; &amp; b");
    }

    proptest! {
        #[test]
        fn tags_are_always_nested_and_closed(steps in prop::collection::vec((0..8u8, any::<char>()), 0..60)) {
            let mut markup = Markup::default();
            for (step, c) in steps {
                match step {
                    0..=2 => markup.set(STYLES[usize::from(step)], true),
                    3..=5 => markup.set(STYLES[usize::from(step) - 3], false),
                    6 => markup.plain(),
                    _ => markup.push(c),
                }
            }
            prop_assert!(crate::fuzz::is_nested(&markup.finish().unwrap_or_default()));
        }
    }
}
