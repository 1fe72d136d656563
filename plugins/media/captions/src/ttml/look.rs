//! The style and position of TTML text, as far as WebVTT supports them: styles that elements have, reference
//! and inherit (TTML2 §8), and regions (§9).

use std::collections::HashMap;

use crate::styled::{Markup, Style};

/// Maximum styles resolved for one element: they reference others, which may again.
const MAX_STEPS: usize = 32;

/// The properties of styles; `None`: not set.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Look {
    italic: Option<bool>,
    bold: Option<bool>,
    underline: Option<bool>,
    visible: Option<bool>,
    /// Hidden, including its content; not inherited, because nothing within can undo it.
    pub(super) gone: Option<bool>,
    /// In per cent of the picture's height, only for a region.
    top: Option<f64>,
    height: Option<f64>,
    place: Option<Place>,
}

/// The vertical alignment of lines within a region.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    Before,
    Center,
    After,
}

impl Look {
    /// Applies a style attribute, if it is supported.
    pub(super) fn style(&mut self, name: &str, value: &str, grid: &Grid) {
        let value = value.trim();
        match name {
            "fontStyle" => self.italic = Some(matches!(value, "italic" | "oblique")),
            "fontWeight" => self.bold = Some(value == "bold"),
            "textDecoration" => {
                for word in value.split_whitespace() {
                    match word {
                        "underline" => self.underline = Some(true),
                        "none" | "noUnderline" => self.underline = Some(false),
                        _ => {}
                    }
                }
            }
            "visibility" => self.visible = Some(value != "hidden"),
            "display" => self.gone = Some(value == "none"),
            "origin" => self.top = grid.down(value),
            "extent" => self.height = grid.down(value),
            "displayAlign" => {
                self.place = match value {
                    "before" => Some(Place::Before),
                    "center" => Some(Place::Center),
                    "after" => Some(Place::After),
                    _ => return,
                }
            }
            _ => {}
        }
    }

    /// These values, or those of the other one where not set.
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            italic: self.italic.or(other.italic),
            bold: self.bold.or(other.bold),
            underline: self.underline.or(other.underline),
            visible: self.visible.or(other.visible),
            gone: self.gone.or(other.gone),
            top: self.top.or(other.top),
            height: self.height.or(other.height),
            place: self.place.or(other.place),
        }
    }

    /// The values that children inherit.
    pub(super) fn inherited(self) -> Self {
        let Self { italic, bold, underline, visible, .. } = self;
        Self { italic, bold, underline, visible, ..Self::default() }
    }

    pub(super) fn is_visible(self) -> bool {
        self.visible != Some(false)
    }

    /// Applies these values.
    pub(super) fn set(self, markup: &mut Markup) {
        for (style, on) in
            [(Style::Italic, self.italic), (Style::Bold, self.bold), (Style::Underline, self.underline)]
        {
            markup.set(style, on == Some(true));
        }
    }

    /// Whether the lines of a region are in the upper half. A region without a position is not at the top,
    /// although TTML defaults to that: players show text without a position at the bottom, as its authors
    /// expect.
    pub(super) fn is_at_top(self) -> bool {
        if self.top.is_none() && self.place.is_none() {
            return false;
        }
        let (top, height) = (self.top.unwrap_or(0.0), self.height.unwrap_or(100.0));
        let lines = match self.place.unwrap_or(Place::Before) {
            Place::Before => top,
            Place::Center => top + height / 2.0,
            Place::After => top + height,
        };
        lines < 50.0
    }
}

/// What lengths of a document are relative to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pixels: Option<f64>,
    rows: f64,
}

impl Default for Grid {
    fn default() -> Self {
        Self { pixels: None, rows: 15.0 }
    }
}

impl Grid {
    /// Applies an attribute of the root, if it is about lengths (TTML2 §7.2.1, §8.2.18).
    pub(super) fn parameter(&mut self, name: &str, value: &str) {
        let second = value.split_whitespace().nth(1).unwrap_or_default();
        match name {
            "cellResolution" => self.rows = positive(second).unwrap_or(self.rows),
            "extent" => self.pixels = second.strip_suffix("px").and_then(positive),
            _ => {}
        }
    }

    /// The second of two lengths, in per cent of the height.
    fn down(&self, lengths: &str) -> Option<f64> {
        let second = lengths.split_whitespace().nth(1)?;
        let unit = second.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '-' | '+'))?;
        let (number, unit) = second.split_at(unit);
        let number: f64 = number.parse().ok()?;
        match unit {
            "%" | "rh" => Some(number),
            "c" => Some(number / self.rows * 100.0),
            "px" => Some(number / self.pixels? * 100.0),
            _ => None,
        }
    }
}

fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0)
}

/// A named style, as written.
#[derive(Debug, Default, Clone)]
pub(super) struct Named {
    pub(super) id: String,
    pub(super) own: Look,
    /// Names of referenced styles for values that are not set; the last one takes precedence.
    pub(super) others: Vec<String>,
}

/// The styles and the regions of a document.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    styles: HashMap<String, Named>,
    regions: HashMap<String, Look>,
}

impl Sheet {
    pub(super) fn len(&self) -> usize {
        self.styles.len() + self.regions.len()
    }

    pub(super) fn add_style(&mut self, style: Named) {
        self.styles.insert(style.id.clone(), style);
    }

    pub(super) fn add_region(&mut self, region: Named) {
        let look = self.resolved(region.own, &region.others);
        self.regions.insert(region.id, look);
    }

    /// The values of the region of this name.
    pub(super) fn region(&self, id: &str) -> Option<Look> {
        self.regions.get(id).copied()
    }

    /// The values of an element, from itself and from the styles that it references.
    pub(super) fn resolved(&self, own: Look, others: &[String]) -> Look {
        let mut look = own;
        let mut next: Vec<&String> = others.iter().collect();
        let mut seen = Vec::new();
        while let Some(name) = next.pop().filter(|_| seen.len() < MAX_STEPS) {
            let Some(style) = self.styles.get(name).filter(|_| !seen.contains(&name)) else { continue };
            seen.push(name);
            look = look.over(style.own);
            next.extend(&style.others);
        }
        look
    }
}
