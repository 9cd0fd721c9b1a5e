//! `[trace]`: by what an exchange is known to others, and who is told of it.

/// `[trace]`
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Where `X-Request-Id` comes from.
    pub request_id: RequestId,
    /// The collector that is told by OTLP over HTTP, like `http://127.0.0.1:4318`; `None` is nobody.
    pub collector: Option<String>,
    /// What is told as `service.name`.
    pub service: String,
    /// Of the requests that bring no trace of their own, one in so many is traced.
    pub one_in: u32,
}

/// Where the id of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestId {
    /// From the client, where it brings a decent one; else it is made.
    Take,
    /// It is made, whatever the client brings.
    Make,
    /// There is none; what the client brings is passed on as any other field.
    Off,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            request_id: RequestId::Take,
            collector: None,
            service: "leeward".to_owned(),
            one_in: 1,
        }
    }
}
