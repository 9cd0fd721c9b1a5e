//! An answer as a client saw it, whatever the protocol.

/// One whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The fields in the order they came, names as they were written.
    pub headers: Vec<(String, String)>,
    /// The body, freed of its framing.
    pub body: Vec<u8>,
    /// The interim answers (`1xx`) that came before.
    pub interim: Vec<u16>,
}

impl Response {
    /// The first field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    /// Every field of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The process that wrote a page of the sick origin.
    pub fn origin_pid(&self) -> Option<u32> {
        let text = self.text();
        let pid = text.lines().find_map(|line| line.strip_prefix("pid="))?;
        pid.parse().ok()
    }
}

/// The body the sick origin sends for `/bytes/N` and its kin.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}
