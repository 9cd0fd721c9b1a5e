//! Markup that can't be broken out of: only what is written in our source goes in unescaped.

/// A piece of HTML.
#[derive(Debug, Default)]
pub(super) struct Html(String);

/// `template` with each `{{name}}` replaced by what `slot` gives for its name.
///
/// One pass: what is filled in is not looked at again.
pub(super) fn fill(template: &'static str, slot: impl Fn(&str) -> Html) -> Html {
    let mut pieces = template.split("{{");
    let mut filled = Html::new().raw(pieces.next().unwrap_or_default());
    for piece in pieces {
        filled = match piece.split_once("}}") {
            Some((name, rest)) => filled.add(slot(name)).raw(rest),
            None => filled.raw(piece),
        };
    }
    filled
}

impl Html {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds markup of ours.
    pub(super) fn raw(mut self, markup: &'static str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// Adds text of anybody's, escaped; good between tags and within a quoted attribute.
    pub(super) fn text(mut self, text: &str) -> Self {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                _ => self.0.push(letter),
            }
        }
        self
    }

    /// Adds markup that was drawn before, by [`Html::into_string`].
    pub(super) fn drawn(mut self, markup: &str) -> Self {
        self.0.push_str(markup);
        self
    }

    /// Adds another piece.
    pub(super) fn add(mut self, piece: Self) -> Self {
        self.0.push_str(&piece.0);
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_anybodys_stays_text() {
        let told = Html::new()
            .raw("<b title='")
            .text("<script>alert(\"1\" & '2')</script>")
            .raw("'>");
        assert_eq!(
            told.into_string(),
            "<b title='&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;'>"
        );
    }

    #[test]
    fn a_slot_is_filled_once_and_its_filling_is_left_alone() {
        let filled = fill("a{{x}}b{{y}}", |name| Html::new().text(name).text("{{y}}"));
        assert_eq!(filled.into_string(), "ax{{y}}by{{y}}");
    }
}
