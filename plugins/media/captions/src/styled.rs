//! Cue text with markup that is always nested and closed, whatever order it was asked for in.

/// Markup that all formats have.
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

/// A cue text (WebVTT §3.2) as it grows: its tags are nested, closed and never empty, and what would mean markup is
/// escaped.
#[derive(Debug, Default)]
pub struct Markup {
    out: String,
    wanted: Vec<Style>,
    /// Those of them that have a tag; the last one is the innermost.
    open: Vec<Style>,
    /// There is something to read.
    visible: bool,
}

impl Markup {
    /// From here on in this style, or no longer.
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

    /// From here on in no style.
    pub fn plain(&mut self) {
        STYLES.into_iter().for_each(|style| self.set(style, false));
    }

    /// A character of the text itself. Control characters are left out.
    pub fn push(&mut self, c: char) {
        match c {
            '\n' => self.out.push('\n'),
            '\t' => self.out.push(' '),
            '&' => self.reference("&amp;"),
            '<' => self.reference("&lt;"),
            '>' => self.reference("&gt;"),
            _ if c.is_control() => {}
            // What is wanted begins with something to see, so that no tags are empty.
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

    /// Ends the innermost tag, in front of white space: lines never begin with the end of a tag.
    fn close(&mut self) {
        let Some(style) = self.open.pop() else { return };
        let end = self.out.trim_end().len();
        let space = self.out.split_off(end);
        self.out.extend(['<', '/', style.tag(), '>']);
        self.out.push_str(&space);
    }

    /// The text in lines that are not empty; none: there is nothing to read.
    pub fn finish(mut self) -> Option<String> {
        while !self.open.is_empty() {
            self.close();
        }
        self.visible.then(|| lines(&self.out))
    }
}

/// The lines of a text, trimmed and without those that are empty, which would end a cue.
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
