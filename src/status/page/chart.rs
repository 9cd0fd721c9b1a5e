//! The last hour as two pictures: requests a second, and how long they took. Drawn here as SVG, so that they are there
//! without a script. Lines differ in form and not in colour alone; what they say is also said in words.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::super::history::{POINTS, Point};
use super::super::html::Html;
use super::super::words::{counted, length};

/// The width of a picture, a unit for each ten seconds; it is stretched to the page.
const WIDTH: f64 = POINTS as f64;
/// The height of a picture.
const HEIGHT: f64 = 100.0;
/// The least and the most time that is drawn, each as a power of ten of seconds.
const DECADES: (f64, f64) = (-4.0, 2.0);

/// The stretch of time that is drawn, up to now.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    now: Instant,
    seconds: f64,
}

/// The longest stretch.
const HOUR: f64 = 3600.0;
/// The shortest: a line needs two points.
const SHORTEST: f64 = 30.0;

/// Both pictures. `points` are of the last hour, the oldest first; after `uptime` seconds there are no older ones than that.
pub(super) fn both(points: &[Point], now: Instant, uptime: f64) -> Html {
    let drawn = Stretch {
        now,
        seconds: uptime.clamp(SHORTEST, HOUR),
    };
    if points.is_empty() {
        return Html::new().raw(
            "<p class=\"soft\">Nothing to draw yet: the first point comes after ten seconds.</p>",
        );
    }
    Html::new()
        .add(rate(points, drawn))
        .add(took(points, drawn))
}

fn rate(points: &[Point], stretch: Stretch) -> Html {
    let most = points
        .iter()
        .map(|it| it.requests_per_second)
        .fold(0.0, f64::max);
    let top = round_up(most);
    let place = |it: &Point| {
        Some((
            stretch.across(it.at),
            HEIGHT - it.requests_per_second / top * HEIGHT,
        ))
    };
    let lines = lines(points, place);
    let mut drawn = Html::new();
    for line in &lines {
        drawn = drawn
            .raw("<path class=\"area\" d=\"")
            .text(&area(line))
            .raw("\"/><path class=\"line\" d=\"")
            .text(&path(line))
            .raw("\"/>");
    }
    for it in points.iter().filter(|it| it.lost > 0) {
        let x = stretch.across(it.at);
        // A mark of its own form at the foot of the picture.
        drawn = drawn
            .raw("<path class=\"lost\" d=\"")
            .text(&format!("M{x:.0} 100v-22"))
            .raw("\"/>");
    }
    let last = points.last().map_or(0.0, |it| it.requests_per_second);
    let lost: u64 = points.iter().map(|it| it.lost).sum();
    let held: u64 = points.iter().map(|it| it.held).sum();
    let mut said = format!("{} lately, {} at the most", told(last), told(most));
    for (amount, what) in [(held, "held"), (lost, "lost")] {
        if amount > 0 {
            let amount = counted(amount, "request");
            let _ = write!(said, "; {amount} {what} in the time drawn");
        }
    }
    figure(
        "Requests a second",
        &said,
        drawn,
        &[&told(top), &told(top / 2.0), "0"],
        stretch,
    )
}

fn took(points: &[Point], stretch: Stretch) -> Html {
    let mut drawn = Html::new();
    for (class, share) in [
        (
            "line late",
            (|it| it.p99_seconds) as fn(&Point) -> Option<f64>,
        ),
        ("line", |it| it.p50_seconds),
    ] {
        let place = |it: &Point| Some((stretch.across(it.at), up(share(it)?)));
        for line in lines(points, place) {
            drawn = drawn
                .raw("<path class=\"")
                .raw(class)
                .raw("\" d=\"")
                .text(&path(&line))
                .raw("\"/>");
        }
    }
    let last = points.iter().rev().find(|it| it.p50_seconds.is_some());
    let said = match last.and_then(|it| Some((it.p50_seconds?, it.p99_seconds?))) {
        Some((half, most)) => format!(
            "lately half within {} (solid), 99 of 100 within {} (dashed)",
            length(half),
            length(most)
        ),
        None => "no request ended in this time".to_owned(),
    };
    let labels = ["100 s", "10 s", "1 s", "100 ms", "10 ms", "1 ms", "100 µs"];
    figure("How long they took", &said, drawn, &labels, stretch)
}

/// A picture with what it is, what it says, and the marks of its height, the highest first.
fn figure(title: &'static str, said: &str, drawn: Html, labels: &[&str], stretch: Stretch) -> Html {
    let mut marks = Html::new();
    for label in labels {
        marks = marks.raw("<span>").text(label).raw("</span>");
    }
    Html::new()
        .raw("<figure><figcaption><b>")
        .raw(title)
        .raw("</b> <span class=\"soft\">")
        .text(said)
        .raw("</span></figcaption><div class=\"plot\"><div class=\"marks\" aria-hidden=\"true\">")
        .add(marks)
        .raw("</div><svg viewBox=\"0 0 360 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"")
        .raw(title)
        .raw(", ")
        .text(&stretch.told())
        .raw(": ")
        .text(said)
        .raw("\"><path class=\"grid\" d=\"M0 0H360M0 50H360M0 100H360M90 0V100M180 0V100M270 0V100\"/>")
        .add(drawn)
        .raw("</svg></div><div class=\"hours\" aria-hidden=\"true\"><span>")
        .text(&stretch.begin())
        .raw("</span><span>")
        .text(&length(stretch.seconds / 2.0))
        .raw(" ago</span><span>now</span></div></figure>")
}

impl Stretch {
    /// From left, where it begins, to right, now.
    fn across(self, at: Instant) -> f64 {
        let ago = self.now.saturating_duration_since(at).as_secs_f64();
        (WIDTH - ago / self.seconds * WIDTH).clamp(0.0, WIDTH)
    }

    fn is_whole(self) -> bool {
        self.seconds >= HOUR
    }

    fn told(self) -> String {
        match self.is_whole() {
            true => "in the last hour".to_owned(),
            false => format!("since the start {} ago", length(self.seconds)),
        }
    }

    /// The label where it begins.
    fn begin(self) -> String {
        match self.is_whole() {
            true => "an hour ago".to_owned(),
            false => format!("the start, {} ago", length(self.seconds)),
        }
    }
}

/// From the top, long, to the bottom, short.
fn up(seconds: f64) -> f64 {
    let (least, most) = DECADES;
    let power = seconds.max(1e-9).log10().clamp(least, most);
    HEIGHT - (power - least) / (most - least) * HEIGHT
}

/// The places of all points that have one, a line for each run of them without a gap.
fn lines(points: &[Point], place: impl Fn(&Point) -> Option<(f64, f64)>) -> Vec<Vec<(f64, f64)>> {
    let mut lines: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut before: Option<Instant> = None;
    for point in points {
        let Some(place) = place(point) else {
            before = None;
            continue;
        };
        let follows = |then: Instant| point.at.saturating_duration_since(then) < GAP;
        match lines.last_mut().filter(|_| before.is_some_and(follows)) {
            Some(line) => line.push(place),
            None => lines.push(vec![place]),
        }
        before = Some(point.at);
    }
    lines
}

/// Points further apart than this are of two lives of the host.
const GAP: Duration = Duration::from_secs(30);

fn path(line: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (place, (x, y)) in line.iter().enumerate() {
        let letter = if place == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{x:.1} {y:.1}");
    }
    if let [(x, y)] = line {
        // A single point is seen as a short stroke.
        let _ = write!(path, "L{:.1} {y:.1}", x + 1.0);
    }
    path
}

fn area(line: &[(f64, f64)]) -> String {
    match (line.first(), line.last()) {
        (Some((first, _)), Some((last, _))) => {
            format!("{}L{last:.1} 100L{first:.1} 100Z", path(line))
        }
        _ => String::new(),
    }
}

/// The next of 1, 2, 5, 10, 20 and so on, at least 1.
fn round_up(most: f64) -> f64 {
    let mut top = 1.0;
    for step in [2.0, 2.5, 2.0].into_iter().cycle() {
        if top >= most || top > 1e12 {
            break;
        }
        top *= step;
    }
    top
}

fn told(rate: f64) -> String {
    match rate {
        _ if rate >= 9.95 => format!("{rate:.0}"),
        _ if rate.fract() == 0.0 => format!("{rate:.0}"),
        _ => format!("{rate:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::history::EACH;
    use super::*;

    fn point(at: Instant, rate: f64, p50: Option<f64>, lost: u64) -> Point {
        Point {
            at,
            requests_per_second: rate,
            held: 0,
            lost,
            p50_seconds: p50,
            p99_seconds: p50.map(|half| half * 10.0),
        }
    }

    #[test]
    fn now_is_at_the_right_and_an_hour_ago_at_the_left() {
        let now = Instant::now() + EACH * 720;
        let of = |seconds| Stretch { now, seconds };
        assert_eq!(of(HOUR).across(now), WIDTH);
        assert_eq!(of(HOUR).across(now - EACH * 360), 0.0);
        assert_eq!(of(HOUR).across(now - EACH * 180), WIDTH / 2.0);
        assert_eq!(of(HOUR).across(now - EACH * 700), 0.0);
        // Shortly after a start, that is at the left.
        assert_eq!(of(60.0).across(now - EACH * 3), WIDTH / 2.0);
        let points = [point(now - EACH, 1.0, None, 0), point(now, 1.0, None, 0)];
        let young = both(&points, now, 60.0).into_string();
        assert!(young.contains("d=\"M300.0 0.0L360.0 0.0\""), "{young}");
        assert!(
            young.contains("<span>the start, 1 min 0 s ago</span><span>30.0 s ago</span>"),
            "{young}"
        );
        assert!(
            young.contains("Requests a second, since the start 1 min 0 s ago:"),
            "{young}"
        );
        let old = both(&points, now, 1e6).into_string();
        assert!(
            old.contains("<span>an hour ago</span><span>30 min 0 s ago</span>"),
            "{old}"
        );
    }

    #[test]
    fn each_decade_takes_the_same_height() {
        assert_eq!(up(100.0), 0.0);
        assert_eq!(up(0.0001), HEIGHT);
        assert_eq!(up(0.1).round(), 50.0);
        assert_eq!((up(0.0), up(1e9)), (HEIGHT, 0.0));
    }

    #[test]
    fn a_gap_in_the_points_is_a_gap_in_the_line() {
        let now = Instant::now() + EACH * 100;
        let points = [
            point(now - EACH * 9, 1.0, Some(0.1), 0),
            point(now - EACH * 8, 1.0, None, 0),
            point(now - EACH * 7, 1.0, Some(0.1), 0),
            point(now - EACH * 6, 1.0, Some(0.1), 0),
            // The host slept.
            point(now, 1.0, Some(0.1), 0),
        ];
        let of = |share: fn(&Point) -> Option<f64>| {
            let place = |it: &Point| Some((0.0, share(it)?));
            lines(&points, place)
                .iter()
                .map(Vec::len)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(|it| it.p50_seconds), [1, 2, 1]);
        assert_eq!(of(|it| Some(it.requests_per_second)), [4, 1]);
    }

    #[test]
    fn the_height_is_a_round_number_that_holds_all() {
        for (most, top) in [
            (0.0, 1.0),
            (0.3, 1.0),
            (1.5, 2.0),
            (4.9, 5.0),
            (51.0, 100.0),
            (1001.0, 2000.0),
        ] {
            assert_eq!(round_up(most), top);
        }
    }

    #[test]
    fn what_is_drawn_is_also_said() {
        let now = Instant::now() + EACH * 100;
        let points = [
            point(now - EACH, 4.0, Some(0.02), 0),
            point(now, 12.5, Some(0.03), 2),
        ];
        let drawn = both(&points, now, HOUR).into_string();
        assert!(
            drawn.contains("12 lately, 12 at the most; 2 requests lost in the time drawn"),
            "{drawn}"
        );
        assert!(
            drawn.contains("lately half within 30 ms (solid), 99 of 100 within 300 ms (dashed)")
        );
        assert!(drawn.contains("M360 100v-22"));
        assert!(
            both(&[], now, HOUR)
                .into_string()
                .contains("Nothing to draw yet")
        );
    }
}
