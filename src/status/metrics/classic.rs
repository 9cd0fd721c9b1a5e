//! OpenMetrics text as the older text format of Prometheus, 0.0.4. The two differ in how families are named.

/// `text` in the older format: a family of counters or of facts is called as its samples are, and neither units nor
/// the end are marked.
pub(super) fn from(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(_), said) => help = said,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                if let Some(help) = help.take() {
                    told.push_str(&format!("# HELP {name}{suffix} {help}\n"));
                }
                told.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            (Some("#"), ..) => {}
            _ => {
                told.push_str(line);
                told.push('\n');
            }
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::hung;
    use super::super::{Form, render};
    use http::HeaderMap;
    use http::header::ACCEPT;

    #[test]
    fn families_are_called_as_their_samples_are() {
        let text = render(hung(), Form::Classic).unwrap();
        for lines in [
            "# HELP leeward_build_info What runs.\n# TYPE leeward_build_info gauge\nleeward_build_info{version=\"0.0.0-test\"} 1\n",
            "# TYPE leeward_exchanges_total counter\nleeward_exchanges_total 1206\n",
            "# TYPE leeward_uptime_seconds gauge\nleeward_uptime_seconds 60",
            "# TYPE leeward_exchange_seconds histogram\nleeward_exchange_seconds_sum",
        ] {
            assert!(text.contains(lines), "{lines}\n{text}");
        }
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"));
        let samples = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        let whole = render(hung(), Form::OpenMetrics).unwrap();
        assert_eq!(samples(&text), samples(&whole));
    }

    #[test]
    fn only_those_who_ask_for_the_older_format_get_it() {
        for (accept, form) in [
            (None, Form::OpenMetrics),
            (Some("*/*"), Form::OpenMetrics),
            (Some("text/plain;version=0.0.4"), Form::Classic),
            (
                Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.3,*/*;q=0.1"),
                Form::OpenMetrics,
            ),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, accept.parse().unwrap());
            }
            assert_eq!(Form::asked(&headers), form, "{accept:?}");
        }
    }
}
