//! The last day at a glance: one sentence, and a line on which each incident has its mark.

use jiff::Timestamp;

use super::super::html::Html;
use super::super::words::{counted, length, number};
use crate::origin::incident::Summary;

/// The last day, as of a moment.
pub(super) struct Day<'a> {
    now: Timestamp,
    /// For how many seconds of it Leeward has run.
    ran: f64,
    /// Of this day, the oldest first, each with how many seconds ago it was opened.
    incidents: Vec<(&'a Summary, f64)>,
}

const DAY: f64 = 86_400.0;
/// The least width of a mark: a restart takes a second or two, and a day has 86,400.
const LEAST: f64 = 4.0;

impl<'a> Day<'a> {
    /// The day that ends at `taken_at` (RFC 3339), where Leeward has run for `uptime` seconds.
    pub(super) fn of(incidents: &'a [Summary], taken_at: &str, uptime: f64) -> Option<Self> {
        let now: Timestamp = taken_at.parse().ok()?;
        let ago = |it: &Summary| {
            let opened: Timestamp = it.opened.parse().ok()?;
            Some(now.duration_since(opened).as_secs_f64().max(0.0))
        };
        let mut told: Vec<_> = incidents
            .iter()
            .filter_map(|it| Some((it, ago(it)?)))
            .filter(|(_, ago)| *ago <= DAY)
            .collect();
        told.sort_by(|one, other| other.1.total_cmp(&one.1));
        Some(Self {
            now,
            ran: uptime.min(DAY),
            incidents: told,
        })
    }

    /// What happened, why, and what it cost, in a sentence or two.
    pub(super) fn sentence(&self) -> String {
        let span = match self.ran < DAY {
            true => format!("Leeward has run for {}", length(self.ran)),
            false => "In the last 24 hours".to_owned(),
        };
        if self.incidents.is_empty() {
            return match self.ran < DAY {
                true => format!("{span}. No incident in the last 24 hours."),
                false => format!("{span} there was no incident."),
            };
        }
        let mut causes: Vec<(&str, usize)> = Vec::new();
        let (outages, parts): (Vec<_>, Vec<_>) = self.told().partition(|it| it.part_of.is_none());
        for incident in &outages {
            match causes
                .iter_mut()
                .find(|(word, _)| *word == incident.verdict)
            {
                Some((_, times)) => *times += 1,
                None => causes.push((&incident.verdict, 1)),
            }
        }
        causes.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        let causes: Vec<_> = causes
            .iter()
            .map(|(word, times)| match times {
                1 => (*word).to_owned(),
                _ => format!("{times} × {word}"),
            })
            .collect();
        let down: f64 = self.told().filter_map(|it| it.unserved_seconds).sum();
        let open = self
            .told()
            .filter(|it| it.unserved_seconds.is_none() && it.part_of.is_none())
            .count();
        let sum = |of: fn(&crate::origin::cost::Cost) -> u64| -> u64 {
            self.told()
                .filter_map(|it| it.requests.as_ref())
                .map(of)
                .sum()
        };
        let (held, lost) = (sum(|it| it.held), sum(|it| it.lost));
        let begun = match self.ran < DAY {
            true => format!("{span}. In the last 24 hours"),
            false => span,
        };
        let paid = match (held, lost) {
            (0, 0) => "no request was held or lost".to_owned(),
            (_, 0) => format!(
                "{} held until it answered again, none lost",
                counted(held, "request")
            ),
            _ => format!(
                "{} held until it answered again, {} lost",
                counted(held, "request"),
                number(lost)
            ),
        };
        let open = if open == 0 {
            String::new()
        } else {
            format!(", {open} not over yet")
        };
        let failed = match parts.len() as u64 {
            0 => String::new(),
            1 => ", and a start that failed".to_owned(),
            many => format!(", and {} starts that failed", number(many)),
        };
        format!(
            "{begun}: {} ({}){failed}, nobody served for {} in all{open}; {paid}.",
            counted(outages.len() as u64, "incident"),
            causes.join(", "),
            length(down),
        )
    }

    /// The line, from a day ago to now; marks lead to their stories.
    pub(super) fn line(&self) -> Html {
        let before = (1.0 - self.ran / DAY) * 1000.0;
        let mut line = Html::new()
            .raw("<svg class=\"day\" viewBox=\"0 0 1000 40\" preserveAspectRatio=\"none\" role=\"group\" aria-label=\"Incidents of the last 24 hours\"><defs><pattern id=\"before\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\"><path d=\"M-2 2L2-2M0 8L8 0M6 10L10 6\"/></pattern></defs><rect class=\"ran\" y=\"14\" height=\"12\" rx=\"2\" x=\"")
            .text(&format!("{before:.1}"))
            .raw("\" width=\"")
            .text(&format!("{:.1}", 1000.0 - before))
            .raw("\"/>");
        if before > 0.5 {
            line = line
                .raw("<rect class=\"not\" fill=\"url(#before)\" x=\"0\" y=\"14\" height=\"12\" width=\"")
                .text(&format!("{before:.1}"))
                .raw("\"><title>Leeward did not run, or had been started anew</title></rect>");
        }
        for (incident, ago) in &self.incidents {
            let is_over = incident.unserved_seconds.is_some() || incident.part_of.is_some();
            let lasted = match is_over {
                true => incident.unserved_seconds.unwrap_or_default(),
                false => *ago,
            };
            let width = (lasted / DAY * 1000.0).max(LEAST);
            let x = ((1.0 - ago / DAY) * 1000.0).min(1000.0 - width);
            line = line
                .raw("<a href=\"/incidents/")
                .text(&incident.id)
                .raw("\" aria-label=\"")
                .text(&format!("{}, {} ago", incident.verdict, length(*ago)))
                .raw("\"><rect class=\"mark\" y=\"2\" height=\"36\" x=\"")
                .text(&format!("{x:.1}"))
                .raw("\" width=\"")
                .text(&format!("{width:.1}"))
                .raw("\"><title>")
                .text(&format!("{}: {}", incident.verdict, incident.sentence))
                .raw("</title></rect></a>");
        }
        let mut hours = Html::new();
        for hour in [24, 18, 12, 6, 0] {
            let at = self.now - jiff::SignedDuration::from_hours(hour);
            let zone = if hour == 0 { " UTC" } else { "" };
            hours = hours
                .raw("<span>")
                .text(&format!("{at:.0}")[11..16])
                .raw(zone)
                .raw("</span>");
        }
        line.raw("</svg><div class=\"hours\" aria-hidden=\"true\">")
            .add(hours)
            .raw("</div>")
            .add(self.legend())
    }

    /// What each form on the line is, told by form and not by colour alone.
    fn legend(&self) -> Html {
        let ran = "<rect class=\"ran\" y=\"4\" width=\"28\" height=\"8\" rx=\"2\"/>";
        let not = "<rect class=\"not\" fill=\"url(#before)\" y=\"4\" width=\"28\" height=\"8\"/>";
        let mark = "<rect class=\"mark\" x=\"11\" width=\"6\" height=\"16\"/>";
        let mut told = vec![(ran, "solid: this Leeward ran")];
        if self.ran < DAY {
            told.push((not, "hatched: before its start; it did not run, or an earlier run did, of which only incidents are kept"));
        }
        if !self.incidents.is_empty() {
            told.push((
                mark,
                "tall: an incident, as wide as it lasted, and never too narrow to be seen",
            ));
        }
        let mut keys = Html::new().raw("<ul class=\"legend\">");
        for (form, words) in told {
            keys = keys
                .raw("<li><svg viewBox=\"0 0 28 16\" aria-hidden=\"true\">")
                .raw(form)
                .raw("</svg>")
                .raw(words)
                .raw("</li>");
        }
        keys.raw("</ul>")
    }

    fn told(&self) -> impl Iterator<Item = &'a Summary> {
        self.incidents.iter().map(|(incident, _)| *incident)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::cost::Cost;

    const NOW: &str = "2026-01-31T08:15:00.000Z";

    fn incident(opened: &str, verdict: &str, down: Option<f64>, lost: u64) -> Summary {
        Summary {
            id: format!("of-{opened}"),
            opened: opened.to_owned(),
            verdict: verdict.to_owned(),
            sentence: "so <it> was".to_owned(),
            downtime_seconds: down,
            unserved_seconds: down,
            part_of: None,
            requests: Some(Cost {
                held: 10,
                replayed: 1,
                continued: 0,
                lost,
            }),
            is_on_disk: true,
        }
    }

    #[test]
    fn last_night_is_told_in_a_sentence() {
        let told =
            |incidents: &[Summary], uptime| Day::of(incidents, NOW, uptime).unwrap().sentence();
        let all = [
            incident("2026-01-31T03:12:00Z", "hung-blocked", Some(1.5), 0),
            incident("2026-01-31T01:00:00Z", "exited", Some(0.25), 2),
            incident("2026-01-30T23:00:00Z", "hung-blocked", Some(2.0), 0),
            incident("2026-01-29T23:00:00Z", "exited", Some(100.0), 50),
        ];
        assert_eq!(
            told(&all, 1e6),
            "In the last 24 hours: 3 incidents (2 × hung-blocked, exited), nobody served for 3.8 s in all; \
             30 requests held until it answered again, 2 lost."
        );
        assert_eq!(
            told(&[], 1e6),
            "In the last 24 hours there was no incident."
        );
        assert_eq!(
            told(&[], 60.0),
            "Leeward has run for 1 min 0 s. No incident in the last 24 hours."
        );
        let mut again = incident("2026-01-31T03:12:01Z", "exited", None, 0);
        again.part_of = Some("of-2026-01-31T03:12:00Z".to_owned());
        again.requests = None;
        let loops = [again.clone(), again, all[0].clone()];
        assert_eq!(
            told(&loops, 1e6),
            "In the last 24 hours: 1 incident (hung-blocked), and 2 starts that failed, nobody served for 1.5 s in all; \
             10 requests held until it answered again, none lost."
        );
        let open = [incident("2026-01-31T08:14:59Z", "stopped", None, 0)];
        assert_eq!(
            told(&open, 60.0),
            "Leeward has run for 1 min 0 s. In the last 24 hours: 1 incident (stopped), nobody served for 0 s in all, \
             1 not over yet; 10 requests held until it answered again, none lost."
        );
    }

    #[test]
    fn each_incident_of_the_day_has_its_place_on_the_line() {
        let all = [
            incident("2026-01-30T20:15:00Z", "exited", Some(0.1), 0),
            incident("2026-01-31T08:15:00Z", "stopped", None, 0),
            incident("2026-01-28T20:15:00Z", "exited", Some(0.1), 0),
        ];
        let line = Day::of(&all, NOW, 43_200.0).unwrap().line().into_string();
        for form in ["class=\"ran\"", "class=\"not\"", "class=\"mark\""] {
            let (_, legend) = line.split_once("<ul class=\"legend\">").expect("a legend");
            assert!(legend.contains(form), "{form} is explained: {legend}");
        }
        let whole = Day::of(&[], NOW, 1e6).unwrap().line().into_string();
        assert!(
            !whole.contains("hatched:") && !whole.contains("tall:"),
            "{whole}"
        );
        assert!(line.contains("x=\"500.0\" width=\"4.0\""), "{line}");
        assert!(line.contains("x=\"996.0\" width=\"4.0\""), "{line}");
        assert!(
            line.contains("width=\"500.0\"><title>Leeward did not run"),
            "{line}"
        );
        assert!(line.contains("exited: so &lt;it&gt; was"));
        assert!(!line.contains("of-2026-01-28"));
        assert!(
            line.contains("<span>08:15</span><span>14:15</span>"),
            "{line}"
        );
    }

    #[test]
    fn a_calendar_that_makes_no_sense_is_no_reason_to_fail() {
        assert!(Day::of(&[], "yesterday", 1.0).is_none());
        let odd = [incident("long ago", "exited", None, 0)];
        assert_eq!(Day::of(&odd, NOW, 1.0).unwrap().told().count(), 0);
    }
}
