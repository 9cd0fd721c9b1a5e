//! `[log]` and `[trace]`.

use super::{OFF, Text, quoted, time};
use crate::config::settings::{Access, Log, LogFormat, LogLevel, RequestId, Trace};

impl Text {
    pub(super) fn log(&mut self, log: &Log) {
        let Log {
            format,
            level,
            access,
            slow,
            queries,
            origin,
            repeats,
        } = log;
        self.section("[log]");
        self.put(
            "format",
            match format {
                LogFormat::Auto => "\"auto\"",
                LogFormat::Text => "\"text\"",
                LogFormat::Json => "\"json\"",
                LogFormat::Journal => "\"journal\"",
            },
        );
        self.put(
            "level",
            match level {
                LogLevel::Error => "\"error\"",
                LogLevel::Warn => "\"warn\"",
                LogLevel::Info => "\"info\"",
                LogLevel::Debug => "\"debug\"",
            },
        );
        self.put(
            "access",
            match access {
                Access::All => "\"all\"",
                Access::Errors => "\"errors\"",
                Access::Off => OFF,
            },
        );
        self.or("slow", slow.map(time), OFF);
        self.put("queries", queries);
        self.put("origin", origin);
        self.or("repeats", *repeats, OFF);
    }

    pub(super) fn trace(&mut self, trace: &Trace) {
        let Trace {
            request_id,
            collector,
            service,
            one_in,
        } = trace;
        self.section("[trace]");
        self.put(
            "request_id",
            match request_id {
                RequestId::Take => "\"take\"",
                RequestId::Make => "\"make\"",
                RequestId::Off => OFF,
            },
        );
        self.or("collector", collector.as_deref().map(quoted), OFF);
        self.put("service", quoted(service));
        self.put("one_in", one_in);
    }
}
