//! A client's verified certificate, as the origin is told of it.

use http::HeaderValue;

/// What a client has proven by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// All of it: `Client-Cert` of RFC 9440, base64 of the DER between colons.
    pub whole: HeaderValue,
    /// The subject as RFC 4514 writes it; what is not printable ASCII is percent-encoded, and so is `%`.
    pub subject: HeaderValue,
}

impl ClientCertificate {
    /// Of a certificate's DER, and its subject.
    pub fn new(der: &[u8], subject: &str) -> Self {
        let whole = format!(":{}:", base64(der));
        let printable = |text: &str| HeaderValue::from_str(text).ok();
        let nothing = HeaderValue::from_static("");
        Self {
            whole: printable(&whole).unwrap_or_else(|| nothing.clone()),
            subject: printable(&encoded(subject)).unwrap_or(nothing),
        }
    }
}

fn encoded(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => told.push(char::from(byte)),
            _ => told.push_str(&format!("%{byte:02X}")),
        }
    }
    told
}

/// Bytes in base64 (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let mut whole = [0; 4];
        whole[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(whole);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            let is_there = place <= three.len();
            text.push(if is_there { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_subject_breaks_out_of_its_field() {
        let it = ClientCertificate::new(b"Man", "CN=Zo\u{eb}\r\nX: 1, O=5 %");
        assert_eq!(it.subject, "CN=Zo%C3%AB%0D%0AX: 1, O=5 %25");
        assert_eq!(it.whole, ":TWFu:");
        assert_eq!(base64(b"Ma"), "TWE=");
        assert_eq!(base64(b"M"), "TQ==");
    }
}
