//! Which packed form of a file a client takes (RFC 9110, section 12.5.3). Pure.

use http::{HeaderMap, header};

/// A way to pack a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Brotli.
    Br,
    /// Zstandard.
    Zstd,
    /// gzip.
    Gzip,
}

impl Encoding {
    /// All of them, the one that mostly packs best first: among equals the first is sent.
    pub(super) const ALL: [Encoding; 3] = [Encoding::Br, Encoding::Zstd, Encoding::Gzip];

    /// As `Content-Encoding` names it.
    pub(super) fn token(self) -> &'static str {
        match self {
            Encoding::Br => "br",
            Encoding::Zstd => "zstd",
            Encoding::Gzip => "gzip",
        }
    }

    /// What the file's name ends with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Encoding::Br => ".br",
            Encoding::Zstd => ".zst",
            Encoding::Gzip => ".gz",
        }
    }

    /// How much a client wants this one, in thousandths; 0 is not at all. Without the field it is not asked for.
    pub(super) fn weight(self, headers: &HeaderMap) -> u16 {
        weight(headers, self.token())
    }
}

/// How much a client wants the file as it is. It is what remains, so that it counts less than what was named.
pub(super) fn plain_weight(headers: &HeaderMap) -> u16 {
    let is_named = listed(headers).any(|(token, _)| token.eq_ignore_ascii_case("identity"));
    match is_named {
        true => weight(headers, "identity"),
        false => 0,
    }
}

fn weight(headers: &HeaderMap, wanted: &str) -> u16 {
    let mut others = 0;
    for (token, weight) in listed(headers) {
        let is_old_name = wanted == "gzip" && token.eq_ignore_ascii_case("x-gzip");
        if token.eq_ignore_ascii_case(wanted) || is_old_name {
            return weight;
        }
        if token == "*" {
            others = weight;
        }
    }
    others
}

/// Each coding of the list with its weight; what is malformed is not wanted.
fn listed(headers: &HeaderMap) -> impl Iterator<Item = (&str, u16)> {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .map(|one| {
            let mut parts = one.split(';').map(str::trim);
            let token = parts.next().unwrap_or_default();
            let quality = parts.find_map(|it| it.strip_prefix("q=").or(it.strip_prefix("Q=")));
            (token, quality.map_or(1000, thousandths))
        })
}

/// `0.5` is 500.
fn thousandths(quality: &str) -> u16 {
    match quality.parse::<f32>() {
        Ok(quality) if (0.0..=1.0).contains(&quality) => (quality * 1000.0).round() as u16,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(field: &str) -> [u16; 4] {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, field.parse().unwrap());
        let [br, zstd, gzip] = Encoding::ALL.map(|it| it.weight(&headers));
        [br, zstd, gzip, plain_weight(&headers)]
    }

    #[test]
    fn weights_are_read_as_they_are_meant() {
        for (field, wanted) in [
            ("gzip, deflate, br, zstd", [1000, 1000, 1000, 0]),
            ("gzip;q=0.5, br;q=0", [0, 0, 500, 0]),
            ("x-gzip", [0, 0, 1000, 0]),
            ("*", [1000, 1000, 1000, 0]),
            ("*;q=0.1, br", [1000, 100, 100, 0]),
            ("GZIP ; Q=0.25", [0, 0, 250, 0]),
            ("gzip;q=2, br;q=-1, zstd;q=x", [0, 0, 0, 0]),
            ("gzip;q=0.2, identity;q=0.9", [0, 0, 200, 900]),
            ("", [0, 0, 0, 0]),
        ] {
            assert_eq!(weights(field), wanted, "{field}");
        }
        assert_eq!(Encoding::Br.weight(&HeaderMap::new()), 0);
    }
}
